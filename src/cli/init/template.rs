//! What `hallgate init` knows to write: for each template its files, what the gate and the app want of the environment, and one request
//! that is allowed and one that is denied.

use clap::ValueEnum;

/// What the gate stands before, or who asks the Hall
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// A gate before OpenAI, or what speaks the same API
    Openai,
    /// A gate before Anthropic
    Anthropic,
    /// A gate before Azure OpenAI
    Azure,
    /// A gate before Gemini
    Gemini,
    /// A gate before PostgREST, Supabase and the like
    Postgrest,
    /// A Hall that Make, n8n, Zapier and the like ask
    Make,
}

/// What a template comes to.
#[derive(Debug)]
pub struct TemplateParts {
    /// The configuration; `UPSTREAM_URL` in it stands for the upstream's address.
    pub configuration: &'static str,
    /// The rules.
    pub rules: &'static str,
    /// The worker's id.
    pub worker_id: &'static str,
    /// The worker's record.
    pub worker: &'static str,
    /// Where its requests go, and what kind of address that is.
    pub upstream: UsualUpstream,
    /// The variable that the gate takes the upstream's credential from; empty: none.
    pub credential: &'static str,
    /// What the app's shell sets.
    pub app: &'static [&'static str],
    /// A request that is allowed, for curl.
    pub allowed: &'static str,
    /// What makes it one that is denied.
    pub denied: &'static str,
}

/// Where requests go.
#[derive(Debug, Clone, Copy)]
pub enum UsualUpstream {
    /// Usually there.
    Usually(&'static str),
    /// To an address that only the user knows, such as this one.
    Such(&'static str),
    /// Nowhere: nothing is forwarded.
    Nowhere,
}

/// The policies, which are the same for all.
pub const POLICIES: &str = include_str!("templates/base.cedar");

const MODELS: &str = include_str!("templates/models.json");
const DATA: &str = include_str!("templates/data.json");
const MODEL_CALLER: &str = include_str!("templates/model-caller.json");

impl Template {
    /// What it comes to.
    pub const fn parts(self) -> TemplateParts {
        // Each of these differs from it in some.
        let models = TemplateParts {
            configuration: "",
            rules: MODELS,
            worker_id: "wrk_app_prod",
            worker: MODEL_CALLER,
            upstream: UsualUpstream::Nowhere,
            credential: "",
            app: &[],
            allowed: "http://127.0.0.1:8080/v1/models",
            denied: "-H 'wcp-data-label: CONFIDENTIAL'",
        };
        match self {
            Self::Openai => TemplateParts {
                configuration: include_str!("templates/openai.yaml"),
                upstream: UsualUpstream::Usually("https://api.openai.com"),
                credential: "OPENAI_API_KEY",
                app: &["OPENAI_BASE_URL=http://127.0.0.1:8080/v1", "OPENAI_API_KEY=unused"],
                ..models
            },
            Self::Anthropic => TemplateParts {
                configuration: include_str!("templates/anthropic.yaml"),
                upstream: UsualUpstream::Usually("https://api.anthropic.com"),
                credential: "ANTHROPIC_API_KEY",
                app: &["ANTHROPIC_BASE_URL=http://127.0.0.1:8080", "ANTHROPIC_API_KEY=unused"],
                allowed: "http://127.0.0.1:8080/v1/models -H 'anthropic-version: 2023-06-01'",
                ..models
            },
            Self::Azure => TemplateParts {
                configuration: include_str!("templates/azure.yaml"),
                upstream: UsualUpstream::Such("https://NAME.openai.azure.com"),
                credential: "AZURE_OPENAI_API_KEY",
                app: &["AZURE_OPENAI_ENDPOINT=http://127.0.0.1:8080", "AZURE_OPENAI_API_KEY=unused"],
                allowed: "http://127.0.0.1:8080/openai/v1/responses -H 'Content-Type: application/json' \
                          -d '{\"model\": \"gpt-5-mini\", \"input\": \"What may I ask?\"}'",
                ..models
            },
            Self::Gemini => TemplateParts {
                configuration: include_str!("templates/gemini.yaml"),
                upstream: UsualUpstream::Usually("https://generativelanguage.googleapis.com"),
                credential: "GEMINI_API_KEY",
                app: &["GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:8080", "GEMINI_API_KEY=unused"],
                allowed: "http://127.0.0.1:8080/v1beta/models",
                ..models
            },
            Self::Postgrest => TemplateParts {
                configuration: include_str!("templates/postgrest.yaml"),
                rules: DATA,
                worker: include_str!("templates/table-client.json"),
                upstream: UsualUpstream::Usually("http://127.0.0.1:3000"),
                credential: "POSTGREST_JWT",
                app: &["POSTGREST_URL=http://127.0.0.1:8080"],
                allowed: "http://127.0.0.1:8080/orders",
                denied: "-H 'wcp-data-label: RESTRICTED'",
                ..models
            },
            Self::Make => TemplateParts {
                configuration: include_str!("templates/make.yaml"),
                rules: DATA,
                worker_id: "wrk_make_prod",
                worker: include_str!("templates/scenario.json"),
                allowed: "http://127.0.0.1:8765/api/route -H \"Authorization: Bearer $HALL_SESSION_TOKEN\" \
                          -H 'Content-Type: application/json' -d '{\"capability_id\": \"cap.data.write.v1\", \
                          \"worker_id\": \"wrk_make_prod\", \"env\": \"prod\", \"data_label\": \"INTERNAL\", \
                          \"tenant_id\": \"org.example\"}'",
                denied: "the same with \"data_label\": \"CONFIDENTIAL\" is denied",
                ..models
            },
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

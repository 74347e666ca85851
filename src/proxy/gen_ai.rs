//! The `gen_ai.*` attributes of spans: calls of AI models, recognised by path. Bodies pass through the gate unread, so what only they say is not known here.

/// A call of a model, in the words of OpenTelemetry's conventions (`gen_ai.*`).
#[derive(Debug, PartialEq, Eq)]
pub struct ModelCall<'a> {
    /// `gen_ai.operation.name`.
    pub operation: &'static str,
    /// `gen_ai.request.model`, where the path holds it.
    pub model: Option<&'a str>,
}

/// Who serves models at a host: `gen_ai.provider.name`.
pub fn provider(host: &str) -> Option<&'static str> {
    let known = match host {
        "api.openai.com" => "openai",
        "api.anthropic.com" => "anthropic",
        "generativelanguage.googleapis.com" => "gcp.gemini",
        "aiplatform.googleapis.com" => "gcp.vertex_ai",
        "api.mistral.ai" => "mistral_ai",
        "api.cohere.com" | "api.cohere.ai" => "cohere",
        "api.groq.com" => "groq",
        "api.deepseek.com" => "deepseek",
        "api.perplexity.ai" => "perplexity",
        "api.x.ai" => "x_ai",
        _ => return provider_of_many(host),
    };
    Some(known)
}

/// The same for those that have a host for each customer or region.
fn provider_of_many(host: &str) -> Option<&'static str> {
    let below = |domain: &str| host.strip_suffix(domain).is_some_and(|name| name.ends_with('.'));
    if below("openai.azure.com") {
        Some("azure.ai.openai")
    } else if below("services.ai.azure.com") || below("models.ai.azure.com") {
        Some("azure.ai.inference")
    } else if host.ends_with("-aiplatform.googleapis.com") {
        Some("gcp.vertex_ai")
    } else if host.starts_with("bedrock-runtime") && (below("amazonaws.com") || below("amazonaws.com.cn")) {
        Some("aws.bedrock")
    } else if below("ml.cloud.ibm.com") {
        Some("ibm.watsonx.ai")
    } else {
        None
    }
}

/// What a POST to this path of an upstream asks for, if it is a call of a model. What anybody's API could have as a path counts
/// only at a host that serves models.
pub fn call<'a>(path: &'a str, provider: Option<&str>) -> Option<ModelCall<'a>> {
    let (above, last) = path.trim_end_matches('/').rsplit_once('/')?;
    let parent = above.rsplit('/').next().unwrap_or_default();
    // `…/models/gemini-2.5-flash:generateContent`
    if let Some((model, method)) = last.rsplit_once(':') {
        let operation = match method {
            "generateContent" | "streamGenerateContent" => "generate_content",
            "embedContent" | "batchEmbedContents" => "embeddings",
            _ => return None,
        };
        return (parent == "models").then_some(ModelCall { operation, model: Some(model) });
    }
    // `/model/anthropic.claude-sonnet-4/converse`
    if let Some((root, model)) = above.rsplit_once('/')
        && root.ends_with("/model")
    {
        let operation = match last {
            "converse" | "converse-stream" => Some("chat"),
            // What it does depends on the model, and is in the body.
            "invoke" | "invoke-with-response-stream" => Some("invoke_model"),
            _ => None,
        };
        if let Some(operation) = operation {
            return Some(ModelCall { operation, model: Some(model) });
        }
    }
    let known = provider.is_some() || parent == "v1";
    let operation = match (parent, last) {
        ("chat", "completions") => "chat",
        (_, "messages" | "responses") if known => "chat",
        (_, "completions") if known => "text_completion",
        (_, "embeddings") if known => "embeddings",
        _ => return None,
    };
    Some(ModelCall { operation, model: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_calls_are_recognised_by_their_path() {
        for (path, provider, operation, model) in [
            ("/v1/chat/completions", None, "chat", None),
            ("/openai/deployments/d/chat/completions", Some("azure.ai.openai"), "chat", None),
            ("/v1/responses", None, "chat", None),
            ("/v1/messages/", None, "chat", None),
            ("/messages", Some("anthropic"), "chat", None),
            ("/v1/completions", None, "text_completion", None),
            ("/v1/embeddings", None, "embeddings", None),
            ("/v1beta/models/gemini-2.5-flash:generateContent", None, "generate_content", Some("gemini-2.5-flash")),
            (
                "/v1/projects/p/publishers/google/models/g-1:streamGenerateContent",
                None,
                "generate_content",
                Some("g-1"),
            ),
            ("/v1beta/models/e:batchEmbedContents", None, "embeddings", Some("e")),
            ("/model/anthropic.claude-3-v1:0/converse", None, "chat", Some("anthropic.claude-3-v1:0")),
            ("/model/m/invoke-with-response-stream", None, "invoke_model", Some("m")),
        ] {
            assert_eq!(call(path, provider), Some(ModelCall { operation, model }), "{path}");
        }
    }

    #[test]
    fn other_calls_are_not() {
        for (path, provider) in [
            ("/", None),
            ("/v1/models", Some("openai")),
            ("/orders/messages", None),
            ("/completions", None),
            ("/v1/messages/batches", Some("anthropic")),
            ("/v1/files/x:generateContent", None),
            ("/v1/models/x:other", None),
            ("/model/x", None),
            ("/model/x/y", None),
            ("/a/converse", None),
            ("/v1/chat/completions/7", Some("openai")),
        ] {
            assert_eq!(call(path, provider), None, "{path}");
        }
    }

    #[test]
    fn providers_are_known_by_their_hosts() {
        for (host, name) in [
            ("api.openai.com", "openai"),
            ("x.openai.azure.com", "azure.ai.openai"),
            ("europe-west4-aiplatform.googleapis.com", "gcp.vertex_ai"),
            ("bedrock-runtime.eu-central-1.amazonaws.com", "aws.bedrock"),
            ("bedrock-runtime-fips.us-east-1.amazonaws.com", "aws.bedrock"),
        ] {
            assert_eq!(provider(host), Some(name), "{host}");
        }
        for host in [
            "127.0.0.1",
            "openai.com",
            "api.openai.com.example.org",
            "xopenai.azure.com",
            "bedrock-runtime.example.org",
        ] {
            assert_eq!(provider(host), None, "{host}");
        }
    }
}

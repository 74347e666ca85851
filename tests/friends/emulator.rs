//! What Make does with a blueprint, as far as ours needs it: mappings, the HTTP module (version 4), Parse JSON, the router, filters, a data
//! store, and a route for errors. The requests are real; a module that it does not know is a failure, never a guess.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};
use support::run;

/// Whether a mapping that finds nothing counts as false where booleans are compared. Make does not say, so nothing may hang on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nothing {
    IsFalse,
    IsNothing,
}

/// An organization of Make: its variables, the authority that its HTTP module trusts, its data store, and how it compares.
pub struct Make<'a> {
    pub hall: String,
    pub token: &'a str,
    /// Where its second scenario is called.
    pub callback: String,
    pub store: RefCell<BTreeMap<String, Value>>,
    pub authority: &'a Path,
    pub nothing: Nothing,
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Done,
    /// Under *Incomplete executions*, where it is tried again.
    Kept,
    /// Stopped by an error that nothing handles.
    Failed(String),
}

/// What a run did.
#[derive(Debug)]
pub struct Outcome {
    /// The modules that ran, or failed, in order.
    pub ran: Vec<u64>,
    /// What each gave.
    pub output: BTreeMap<u64, Value>,
    /// The mappings that found nothing.
    pub missing: Vec<String>,
    pub end: End,
}

/// What a bundle on its way sees: the outputs of the modules before it.
type Scope = Map<String, Value>;

impl Make<'_> {
    /// Runs the scenario once, for what its webhook was sent.
    pub fn run(&self, blueprint: &Value, sent: &Value) -> Outcome {
        let mut outcome = Outcome { ran: vec![], output: BTreeMap::new(), missing: vec![], end: End::Done };
        let mut scope = Scope::from_iter([("sent".to_owned(), sent.clone())]);
        if let Some(end) = self.flow(&blueprint["flow"], &mut scope, &mut outcome) {
            outcome.end = end;
        }
        outcome
    }

    /// Runs modules one after another. Gives how the run ended, if it did.
    fn flow(&self, modules: &Value, scope: &mut Scope, outcome: &mut Outcome) -> Option<End> {
        for module in modules.as_array().unwrap() {
            if module.get("filter").is_some_and(|filter| !self.passes(filter, scope, outcome)) {
                return None;
            }
            let id = module["id"].as_u64().unwrap();
            outcome.ran.push(id);
            if let Some(routes) = module["routes"].as_array() {
                // A route sees what was before the router, and nothing of the routes beside it.
                let mut ends = routes.iter().filter_map(|route| self.flow(&route["flow"], &mut scope.clone(), outcome));
                return ends.next();
            }
            match self.module(module, scope, outcome) {
                Ok(output) => {
                    outcome.output.insert(id, output.clone());
                    scope.insert(id.to_string(), output);
                }
                Err(Fault::Directive(end)) => return Some(end),
                Err(Fault::Error(message)) => {
                    scope.insert(id.to_string(), json!({ "error": { "message": message } }));
                    let handled = module.get("onerror").and_then(|handler| self.flow(handler, scope, outcome));
                    return Some(handled.unwrap_or(End::Failed(message)));
                }
            }
        }
        None
    }

    fn module(&self, module: &Value, scope: &Scope, outcome: &mut Outcome) -> Result<Value, Fault> {
        let mapper = &module["mapper"];
        match module["module"].as_str().unwrap() {
            "gateway:CustomWebHook" => Ok(scope["sent"].clone()),
            "http:MakeRequest" => self.request(mapper, scope, outcome),
            "json:ParseJSON" => {
                let text = self.text(&mapper["json"], scope, outcome);
                serde_json::from_str(&text).map_err(|error| Fault::Error(error.to_string()))
            }
            "util:SetVariables" => {
                let mut row = Map::new();
                for variable in mapper["variables"].as_array().unwrap() {
                    let name = variable["name"].as_str().unwrap().to_owned();
                    row.insert(name, self.value(&variable["value"], scope, outcome));
                }
                Ok(Value::Object(row))
            }
            "datastore:AddRecord" => {
                let key = self.text(&mapper["key"], scope, outcome);
                let fields = mapper["data"].as_object().unwrap().iter();
                let record = fields.map(|(name, value)| (name.clone(), self.value(value, scope, outcome))).collect();
                assert!(mapper["overwrite"].as_bool().unwrap());
                self.store.borrow_mut().insert(key.clone(), Value::Object(record));
                Ok(json!({ "key": key }))
            }
            // A key that is not there gives a bundle without fields.
            "datastore:GetRecord" => {
                assert_eq!(mapper["returnWrapped"], false);
                let key = self.text(&mapper["key"], scope, outcome);
                Ok(self.store.borrow().get(&key).cloned().unwrap_or_else(|| json!({})))
            }
            "datastore:DeleteRecord" => {
                let key = self.text(&mapper["key"], scope, outcome);
                self.store.borrow_mut().remove(&key);
                Ok(json!({ "key": key }))
            }
            // What handles an error decides how the run ends: this, and not the error any more.
            "builtin:Break" => Err(Fault::Directive(End::Kept)),
            other => panic!("the emulator does not know {other}"),
        }
    }

    /// The HTTP module, by curl: what stops it in Make stops it here.
    fn request(&self, mapper: &Value, scope: &Scope, outcome: &mut Outcome) -> Result<Value, Fault> {
        assert_eq!((&mapper["contentType"], &mapper["inputMethod"]), (&json!("json"), &json!("jsonString")));
        let method = mapper["method"].as_str().unwrap().to_uppercase();
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-X", &method, "--cacert"]).arg(self.authority);
        curl.args(["--max-time", &mapper["timeout"].to_string(), "-w", "\n%{http_code} %{content_type}"]);
        curl.args(["-H", "Content-Type: application/json", "--data-binary", "@-"]);
        if mapper["allowRedirects"].as_bool().unwrap() {
            curl.arg("-L");
        }
        for header in mapper["headers"].as_array().unwrap() {
            let value = self.text(&header["value"], scope, outcome);
            curl.args(["-H", &format!("{}: {value}", header["name"].as_str().unwrap())]);
        }
        curl.arg(self.text(&mapper["url"], scope, outcome));
        let body = self.text(&mapper["jsonStringBodyContent"], scope, outcome);
        let (code, out, err) = run(&mut curl, &body);
        if code != Some(0) {
            return Err(Fault::Error(err.trim().to_owned()));
        }
        let (body, last) = out.rsplit_once('\n').unwrap();
        let (status, kind) = last.split_once(' ').unwrap();
        let status: u16 = status.parse().unwrap();
        if status >= 400 && mapper["stopOnHttpError"].as_bool().unwrap() {
            return Err(Fault::Error(format!("The request failed with status {status}")));
        }
        let text = || Value::String(body.to_owned());
        let parse = mapper["parseResponse"].as_bool().unwrap() && kind.starts_with("application/json");
        let data = if parse { serde_json::from_str(body).unwrap_or_else(|_| text()) } else { text() };
        Ok(json!({ "statusCode": status, "data": data }))
    }

    /// Whether a filter lets it pass: any group, and in it every condition.
    fn passes(&self, filter: &Value, scope: &Scope, outcome: &mut Outcome) -> bool {
        let groups = filter["conditions"].as_array().unwrap();
        assert!(!groups.is_empty(), "a filter without a condition lets everything pass");
        groups.iter().any(|group| {
            group.as_array().unwrap().iter().all(|condition| {
                let left = self.value(&condition["a"], scope, outcome);
                match condition["o"].as_str().unwrap() {
                    "exist" => is_there(&left),
                    "notexist" => !is_there(&left),
                    "text:equal" => left == condition["b"],
                    "text:notequal" => left != condition["b"],
                    "boolean:equal" => {
                        let right = self.boolean(&self.value(&condition["b"], scope, outcome)).unwrap();
                        self.boolean(&left) == Some(right)
                    }
                    other => panic!("the emulator does not know {other}"),
                }
            })
        })
    }

    /// What a value is where booleans are compared.
    fn boolean(&self, value: &Value) -> Option<bool> {
        match value {
            Value::Bool(value) => Some(*value),
            Value::String(text) if !text.is_empty() => text.parse().ok(),
            Value::Null | Value::String(_) => (self.nothing == Nothing::IsFalse).then_some(false),
            _ => None,
        }
    }

    /// What a mapping gives: what stands for one thing is that thing, anything else a text.
    fn value(&self, template: &Value, scope: &Scope, outcome: &mut Outcome) -> Value {
        let template = template.as_str().unwrap();
        match template.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
            Some(path) if !path.contains("{{") => self.find(path, scope, outcome),
            _ => Value::String(self.text(&Value::String(template.to_owned()), scope, outcome)),
        }
    }

    fn text(&self, template: &Value, scope: &Scope, outcome: &mut Outcome) -> String {
        let mut parts = template.as_str().unwrap().split("{{");
        let mut text = parts.next().unwrap().to_owned();
        for part in parts {
            let (path, rest) = part.split_once("}}").unwrap();
            match self.find(path, scope, outcome) {
                Value::Null => {}
                Value::String(found) => text.push_str(&found),
                found => text.push_str(&found.to_string()),
            }
            text.push_str(rest);
        }
        text
    }

    fn find(&self, path: &str, scope: &Scope, outcome: &mut Outcome) -> Value {
        match path {
            "now" => return json!("2026-11-30T12:00:00.000Z"),
            "var.organization.PYHALL_HALL_URL" => return json!(self.hall),
            "var.organization.PYHALL_CALLBACK_URL" => return json!(self.callback),
            "var.organization.HALL_SESSION_TOKEN" => return json!(self.token),
            _ => {}
        }
        let (module, rest) = path.split_once('.').unwrap_or_else(|| panic!("what is {path}?"));
        assert!(module.parse::<u64>().is_ok(), "what is {path}?");
        let found = scope.get(module).and_then(|output| rest.split('.').try_fold(output, |value, key| value.get(key)));
        if found.is_none() {
            outcome.missing.push(path.to_owned());
        }
        found.cloned().unwrap_or_default()
    }
}

fn is_there(value: &Value) -> bool {
    !(value.is_null() || value == "")
}

/// Why a module gave nothing.
enum Fault {
    Error(String),
    Directive(End),
}

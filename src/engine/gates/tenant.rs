//! The tenant: listed where only signatories may ask, and never blank. WCP_SPEC 5.9; reference router steps 0 and 0.1.

use crate::engine::decision::{Denial, DenyCode};
use crate::engine::question::{Question, Tenant};
use crate::engine::snapshot::Snapshot;

pub(super) fn gate(question: &Question, _: &Snapshot) -> Result<(), Denial> {
    match &question.tenant {
        Tenant::Admitted => Ok(()),
        Tenant::Unlisted(tenant) => Err(Denial::new(
            DenyCode::UnknownTenant,
            "tenant_id is none of the tenants that this hall serves; ask its operator to list it",
        )
        .with("tenant_id", &**tenant)),
        Tenant::Blank => Err(Denial::new(DenyCode::MissingTenantId, "tenant_id is blank; send the tenant's id")),
    }
}

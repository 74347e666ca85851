"""Reads manifests as YAML, holds each against the published schemas, strictly, and prints them as JSON.

Strictly: a key that the schema does not know is refused, as is one that is written twice. `--read`: leaves the schemas out, for what is
compared with manifests that were held against them.
"""

import json
import sys

import yaml

# The first version in which native sidecars are stable, and the newest that the package knows.
VERSIONS = ["1.33", "1.37"]


class Once(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"written twice: {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


def wrong(manifest):
    """What the schemas have against it."""
    # To import these takes seconds.
    import kubernetes_validate
    from cloudcoil.models.prometheus_operator import v1 as monitoring

    if manifest["apiVersion"].startswith("monitoring.coreos.com/"):
        # The types read what they know and drop the rest: what does not come back is no part of the schema.
        try:
            read = getattr(monitoring, manifest["kind"]).model_validate(manifest)
        except ValueError as error:
            return [str(error)]
        back = json.loads(read.model_dump_json(by_alias=True, exclude_unset=True))
        return [] if back == manifest else [f"read as {back}"]
    problems = []
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            problems.append(f"{version}: {'.'.join(map(str, error.path))}: {error.message[:300]}")
    return problems


manifests = [manifest for manifest in yaml.load_all(sys.stdin, Once) if manifest]
checked = [] if "--read" in sys.argv else manifests
problems = [f"{manifest['kind']} {manifest['metadata']['name']}: {problem}" for manifest in checked for problem in wrong(manifest)]
if problems:
    sys.exit("\n".join(problems))
json.dump(manifests, sys.stdout)

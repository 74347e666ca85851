"""Asks an admission policy: reads `{"policy": …, "pods": [pod, …]}`, prints for each pod the messages of what it fails.

As the API server does: variables in their order, then each validation; what cannot be evaluated fails, too.
"""

import json
import sys

import celpy

environment = celpy.Environment()


def ask(expression, known):
    return environment.program(environment.compile(expression)).evaluate(known)


def failed(policy, pod):
    known = {"object": celpy.json_to_cel(pod), "variables": celpy.celtypes.MapType({})}
    for variable in policy["variables"]:
        known["variables"][celpy.celtypes.StringType(variable["name"])] = ask(variable["expression"], known)
    messages = []
    for validation in policy["validations"]:
        try:
            held = bool(ask(validation["expression"], known))
        except celpy.CELEvalError as error:
            sys.exit(f"{validation['expression']}: {error}")
        if not held:
            messages.append(validation["message"])
    return messages


question = json.load(sys.stdin)
json.dump([failed(question["policy"]["spec"], pod) for pod in question["pods"]], sys.stdout)

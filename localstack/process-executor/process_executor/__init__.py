"""Runs the Lambda functions of LocalStack as processes of this machine, without Docker, within Lambda's limits.

`plugin` is what LocalStack finds by its entry point, `executor` one execution environment of a function, `process` a
running `bootstrap`, `runtime_api` the HTTP interface by which it takes invocations and answers them, `memory` what ends
it if it uses too much, `logs` what it prints and Lambda's report, `limits` the largest requests.
"""

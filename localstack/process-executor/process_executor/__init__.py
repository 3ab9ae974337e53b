"""Runs the Lambda functions of LocalStack as processes of this machine, without Docker.

`plugin` is what LocalStack finds by its entry point, `executor` one execution environment of a function, `runtime_api`
the HTTP interface by which a `provided.*` bootstrap takes invocations and answers them.
"""

"""The entry point: LocalStack loads this when `LAMBDA_RUNTIME_EXECUTOR=process`."""

from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin


class ProcessExecutorPlugin(RuntimeExecutorPlugin):
    name = "process"

    def load(self, *args, **kwargs):
        # Imported late: LocalStack lists its plugins long before it needs Lambda.
        from process_executor import limits
        from process_executor.executor import ProcessExecutor

        limits.enforce()
        return ProcessExecutor

"""Lambda's limits on the size of requests, which LocalStack leaves to Lambda."""

from localstack.aws.api import CommonServiceException
from localstack.aws.api.lambda_ import InvocationType
from localstack.services.lambda_.invocation.lambda_service import LambdaService

MAX_SYNCHRONOUS = 6 * 1024 * 1024
MAX_EVENT = 1024 * 1024


def enforce() -> None:
    """Wraps the one place that all invocations pass."""
    invoke = LambdaService.invoke

    def limited(self, *args, payload=None, invocation_type=None, **kwargs):
        check(len(payload or b""), invocation_type)
        return invoke(self, *args, payload=payload, invocation_type=invocation_type, **kwargs)

    LambdaService.invoke = limited


def check(size: int, invocation_type: str | None) -> None:
    if invocation_type == InvocationType.Event:
        limit = MAX_EVENT
        message = f"{size} byte payload is too large for the Event invocation type (limit {limit} bytes)"
    else:
        limit = MAX_SYNCHRONOUS
        message = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
    if size > limit:
        # The reference calls it RequestTooLargeException; this is what the service really answers with.
        raise CommonServiceException("RequestEntityTooLargeException", message, status_code=413, sender_fault=True)

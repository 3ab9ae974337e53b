"""Deploys infra/stagger.yaml to LocalStack, with LocalStack's Python; prints JSON with the bucket and the functions.

Does nothing if the stack is there already with the same template, zip and settings.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
import time
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

TEMPLATE = Path(__file__).resolve().parents[1] / "infra" / "stagger.yaml"
CODE_BUCKET = "stagger-code"
PATIENCE_SECONDS = 180


def arguments() -> argparse.Namespace:
    setting = os.environ.get
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", default=setting("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"))
    parser.add_argument("--stack", default="stagger", help="its name; the functions are NAME-small, -medium and -large")
    parser.add_argument("--zip", type=Path, help="with one file, bootstrap; not needed with --remove")
    parser.add_argument("--bucket", default="", help="name of the stack's bucket; without it one is generated")
    parser.add_argument("--memory", default=setting("STAGGER_MEMORY_SIZES"), help="three sizes in MB: 128,256,512")
    parser.add_argument("--timeout", default=setting("STAGGER_TIMEOUT"), help="seconds")
    parser.add_argument("--concurrency", default=setting("STAGGER_CONCURRENCY"), help="reserved for each function")
    parser.add_argument("--remove", action="store_true", help="remove the stack, with its bucket and all it holds")
    return parser.parse_args()


class Cloud:
    """The services of an endpoint, by name."""

    def __init__(self, endpoint: str):
        self._endpoint = endpoint

    def __getattr__(self, service: str):
        client = boto3.client(
            service.rstrip("_"),
            endpoint_url=self._endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            # The machine's proxy is not for a server on the same machine. A large zip is unpacked within one request.
            config=Config(proxies={}, read_timeout=PATIENCE_SECONDS, s3={"addressing_style": "path"}),
        )
        setattr(self, service, client)
        return client


def parameters(options: argparse.Namespace, key: str) -> dict[str, str]:
    chosen = {
        "CodeBucket": CODE_BUCKET,
        "CodeKey": key,
        "Architecture": "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64",
        "BucketName": options.bucket,
    }
    if options.memory:
        sizes = [size.strip() for size in options.memory.split(",")]
        if len(sizes) != 3:
            sys.exit(f"localstack: three memory sizes are needed, not '{options.memory}'\nhint: 128,256,512")
        chosen |= dict(zip(["SmallMemory", "MediumMemory", "LargeMemory"], sizes))
    if options.timeout:
        chosen["Timeout"] = options.timeout
    if options.concurrency:
        chosen["ReservedConcurrency"] = options.concurrency
    return chosen


def upload(cloud: Cloud, file: Path) -> str:
    """Puts the zip under its hash, unless it is there; returns its key."""
    if not file.is_file():
        sys.exit(f"localstack: no zip {file}\nhint: function/build makes it")
    with file.open("rb") as opened:
        key = f"{hashlib.file_digest(opened, 'sha256').hexdigest()}.zip"
    # Making a bucket that is there is no error in us-east-1.
    cloud.s3.create_bucket(Bucket=CODE_BUCKET)
    try:
        cloud.s3.head_object(Bucket=CODE_BUCKET, Key=key)
    except ClientError:
        cloud.s3.upload_file(str(file), CODE_BUCKET, key)
    return key


def describe(cloud: Cloud, stack: str) -> dict | None:
    try:
        found = cloud.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError:
        return None
    return None if found["StackStatus"] == "DELETE_COMPLETE" else found


def settle(cloud: Cloud, stack: str) -> dict | None:
    """The stack when nothing happens to it any more; None when it is gone."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := describe(cloud, stack)) and found["StackStatus"].endswith("_IN_PROGRESS"):
        if time.monotonic() > deadline:
            sys.exit(f"localstack: stack {stack} is still {found['StackStatus']} after {PATIENCE_SECONDS} s")
        time.sleep(0.1)
    return found


def remove(cloud: Cloud, stack: str) -> None:
    cloud.cloudformation.delete_stack(StackName=stack)
    if left := settle(cloud, stack):
        sys.exit(f"localstack: can't remove stack {stack}: {left['StackStatus']}")


def deploy(cloud: Cloud, stack: str, wanted: dict[str, str]) -> dict:
    found = settle(cloud, stack)
    request = {
        "StackName": stack,
        "TemplateBody": TEMPLATE.read_text(),
        "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in wanted.items()],
        "Capabilities": ["CAPABILITY_IAM"],
    }
    if found:
        updated = update(cloud, found, request)
        if updated:
            return updated
        # LocalStack can't change every kind of resource; it can make them all.
        remove(cloud, stack)
    cloud.cloudformation.create_stack(**request)
    found = settle(cloud, stack)
    if not found or found["StackStatus"] != "CREATE_COMPLETE":
        sys.exit(f"localstack: can't deploy stack {stack}: {reasons(cloud, stack, found)}")
    return found


def update(cloud: Cloud, found: dict, request: dict) -> dict | None:
    """The stack as wanted, or None if it can't be changed to that."""
    if found["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        return None
    try:
        cloud.cloudformation.update_stack(**request)
    except ClientError as error:
        return found if "No updates" in str(error) else None
    changed = settle(cloud, request["StackName"])
    return changed if changed and changed["StackStatus"] == "UPDATE_COMPLETE" else None


def reasons(cloud: Cloud, stack: str, found: dict | None) -> str:
    events = cloud.cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
    told = [f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in failed]
    return "; ".join([(found or {}).get("StackStatusReason", ""), *told])


def reserve(cloud: Cloud, functions: list[str], concurrency: str | None) -> None:
    """LocalStack's CloudFormation passes over the functions' ReservedConcurrentExecutions; its Lambda does not."""
    for name in functions:
        if concurrency and int(concurrency) >= 0:
            cloud.lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=int(concurrency))
        else:
            cloud.lambda_.delete_function_concurrency(FunctionName=name)


def main() -> None:
    options = arguments()
    cloud = Cloud(options.endpoint)
    if options.remove:
        remove(cloud, options.stack)
        return
    if options.zip is None:
        sys.exit("localstack: --zip is needed\nhint: function/build makes one")
    found = deploy(cloud, options.stack, parameters(options, upload(cloud, options.zip)))
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}
    functions = outputs["Functions"].split(",")
    reserve(cloud, functions, options.concurrency)
    print(json.dumps({"stack": options.stack, "bucket": outputs["Bucket"], "functions": functions}))


main()

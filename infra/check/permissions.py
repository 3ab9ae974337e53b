"""Each role may do what it must, nothing of what it must not, and no permission or condition can be taken away.

One pair of action and resource after the other is removed: some operation that the role needs must then be refused, or the
permission is superfluous. One condition after the other is removed: something forbidden must then be allowed, or it guards nothing.
"""

import re
import sys
from dataclasses import dataclass

import botocore.session
from botocore import xform_name

from policies import Operation, allows, several, without_one_condition, without_one_permission
from template import ACCOUNT, INFRA, REGION, Template, arn, jobs, stagger

BUCKET = "arn:aws:s3:::stagger-Bucket"
TAGGED = {"aws:ResourceTag/stagger-run": "nightly"}
RUNS_LISTED = {"s3:prefix": "runs/"}


@dataclass
class Role:
    name: str
    statements: list[dict]
    must: list[Operation]
    must_not: list[Operation]


def op(action: str, *resources: str, **context) -> Operation:
    return Operation(action, resources or ("*",), {key.replace("__", ":").replace("_", "-"): value for key, value in context.items()})


def on(action: str, resources: list[str], context: dict | None = None) -> list[Operation]:
    return [Operation(action, (each,), context or {}) for each in resources]


def objects(actions: str, *prefixes: str) -> list[Operation]:
    return [Operation(f"s3:{action}Object", (f"{BUCKET}/{prefix}/x",), {}) for action in actions.split() for prefix in prefixes]


def statements(template: Template, role: str) -> list[dict]:
    properties = template.resources[role]["Properties"]
    if "PolicyDocument" in properties:
        return properties["PolicyDocument"]["Statement"]
    return [each for policy in properties["Policies"] for each in policy["PolicyDocument"]["Statement"]]


# What no role may ever do.
NEVER = [
    op("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/stagger-jobs-ControllerRole"),
    op("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/other"),
    op("s3:GetObject", "arn:aws:s3:::other/runs/x"),
    op("s3:DeleteBucket", BUCKET),
    op("s3:PutBucketPolicy", BUCKET),
    op("s3:PutObject", "arn:aws:s3:::my-data/panel/part-0.parquet"),
    op("lambda:UpdateFunctionCode", arn("lambda", "function:stagger-small")),
    op("sqs:PurgeQueue", arn("sqs", "stagger-jobs-tasks")),
    op("sqs:SendMessage", arn("sqs", "other")),
    op("sns:Subscribe", arn("sns", "stagger-jobs-runs")),
    op("batch:RegisterJobDefinition", arn("batch", "job-definition/stagger-jobs-worker-gpu")),
    op("secretsmanager:GetSecretValue", arn("secretsmanager", "secret:any")),
    op("ecr:PutImage", arn("ecr", "repository/stagger-jobs/worker")),
    op("ec2:RunInstances", "*"),
    op("kms:ScheduleKeyDeletion", arn("kms", "key/TopicKey")),
]

READS = objects("Get", "panels", "runs", "examples") + [op("s3:GetObject", "arn:aws:s3:::my-data/panel/part-0.parquet")]
# A worker is told by manifests what there is; what it has written is never removed by it.
NO_WORKERS_MATTER = [
    *on("s3:ListBucket", [BUCKET], RUNS_LISTED),
    *objects("Delete", "panels", "runs"),
    *objects("Get Put", "results", "studies"),
    *objects("Put", "examples"),
    op("lambda:InvokeFunction", arn("lambda", "function:stagger-small")),
    op("sns:Publish", arn("sns", "stagger-jobs-runs")),
]
QUEUE = arn("sqs", "stagger-jobs-tasks")
JOB = arn("batch", "job/2f1b")


def functions(template: Template) -> Role:
    logs = [arn("logs", f"log-group:/aws/lambda/stagger-{size}:log-stream:x") for size in ("small", "medium", "large")]
    return Role(
        "functions",
        statements(template, "WorkerRole"),
        must=[*READS, *objects("Put", "panels", "runs"), *on("logs:CreateLogStream", logs), *on("logs:PutLogEvents", logs)],
        must_not=[*NO_WORKERS_MATTER, op("sqs:ReceiveMessage", QUEUE), op("logs:PutLogEvents", arn("logs", "log-group:/aws/lambda/other:x"))],
    )


def who_runs(template: Template) -> Role:
    three = [arn("lambda", f"function:stagger-{size}") for size in ("small", "medium", "large")]
    return Role(
        "who runs Stagger",
        statements(template, "ControllerPolicy"),
        must=[
            *(each for action in ("InvokeFunction", "GetFunctionConfiguration", "GetFunctionConcurrency") for each in on(f"lambda:{action}", three)),
            *(Operation("s3:ListBucket", (BUCKET,), {"s3:prefix": prefix}) for prefix in ("panels/", "runs/", "examples/")),
            *objects("Get Put Delete", "panels", "runs", "examples"),
        ],
        must_not=[
            *on("s3:ListBucket", [BUCKET], {"s3:prefix": ""}),
            *objects("Get Put Delete", "results", "studies"),
            op("lambda:InvokeFunction", arn("lambda", "function:other")),
            op("sqs:SendMessage", QUEUE),
        ],
    )


def workers(template: Template) -> Role:
    takes = ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility")
    return Role(
        "workers on Batch",
        statements(template, "WorkerRole"),
        must=[*READS, *objects("Put", "panels", "runs"), *(op(f"sqs:{each}", QUEUE) for each in takes)],
        must_not=[
            *NO_WORKERS_MATTER,
            op("sqs:SendMessage", QUEUE),
            op("sqs:ReceiveMessage", arn("sqs", "stagger-jobs-dead")),
            op("batch:SubmitJob", arn("batch", "job-queue/stagger-jobs-gpu"), arn("batch", "job-definition/stagger-jobs-worker-gpu")),
        ],
    )


def publishes(template: Template) -> list[Operation]:
    """Publishing to an encrypted topic takes its key too: https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html"""
    key, topic = arn("kms", "key/TopicKey"), arn("sns", "stagger-jobs-runs")
    return [*(op(f"sns:{each}", topic) for each in ("Publish", "GetTopicAttributes")), op("kms:Decrypt", key), op("kms:GenerateDataKey", key)]


def submits(queue: str, definition: str) -> list[Operation]:
    """A definition by its name, and by its name and revision."""
    on_queue = arn("batch", f"job-queue/stagger-jobs-{queue}")
    named = arn("batch", f"job-definition/stagger-jobs-{definition}")
    return [op("batch:SubmitJob", on_queue, named), op("batch:SubmitJob", on_queue, f"{named}:7")]


def who_runs_queues(template: Template) -> Role:
    return Role(
        "who runs Stagger on a queue",
        statements(template, "QueuePolicy"),
        must=[
            op("sqs:SendMessage", QUEUE),
            *publishes(template),
            *submits("gpu", "worker-gpu"),
            *submits("cpu", "worker-cpu"),
            Operation("batch:TagResource", (JOB,), {"aws:TagKeys": ["stagger-run"]}),
            Operation("batch:TerminateJob", (JOB,), TAGGED),
        ],
        must_not=[
            op("batch:TerminateJob", JOB),
            Operation("batch:TagResource", (JOB,), {"aws:TagKeys": ["owner"]}),
            *submits("control", "controller"),
            op("sqs:ReceiveMessage", QUEUE),
            op("sqs:DeleteMessage", QUEUE),
        ],
    )


def controllers(template: Template) -> Role:
    """Beside the two policies that persons have."""
    attached = template.resources["ControllerRole"]["Properties"]["ManagedPolicyArns"]
    assert attached == [template.parameters["ControllerPolicy"], template.reference("QueuePolicy")], attached
    return Role(
        "controller on Batch",
        statements(template, "ControllerRole"),
        must=[
            *objects("Get", "studies"),
            *objects("Put", "results"),
            op("s3:GetObject", "arn:aws:s3:::my-data/panel/part-0.parquet"),
            op("s3:ListBucket", "arn:aws:s3:::my-data", s3__prefix="panel/"),
        ],
        must_not=[
            *objects("Put Delete", "studies"),
            *objects("Get Delete", "results"),
            op("s3:ListBucket", "arn:aws:s3:::my-data", s3__prefix="salaries/"),
            op("s3:GetObject", "arn:aws:s3:::my-data/salaries/x"),
        ],
    )


def janitors(template: Template) -> Role:
    return Role(
        "janitor",
        statements(template, "JanitorRole"),
        must=[
            *on("s3:ListBucket", [BUCKET], RUNS_LISTED),
            *objects("Get Put", "runs"),
            *publishes(template),
            Operation("batch:TerminateJob", (JOB,), TAGGED),
            op("batch:ListJobs"),
        ],
        must_not=[
            *on("s3:ListBucket", [BUCKET], {"s3:prefix": "panels/"}),
            *objects("Get Put Delete", "panels"),
            *objects("Delete", "runs"),
            op("batch:TerminateJob", JOB),
            op("sqs:SendMessage", QUEUE),
            op("lambda:InvokeFunction", arn("lambda", "function:stagger-small")),
            *submits("gpu", "worker-gpu"),
        ],
    )


def executions(template: Template) -> Role:
    """Pulling and logging, as ECS does them: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html"""
    images = [arn("ecr", f"repository/stagger-jobs/{each}") for each in ("worker", "controller")]
    log = arn("logs", "log-group:/stagger/stagger-jobs:log-stream:x")
    pulls = ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")
    return Role(
        "execution",
        statements(template, "ExecutionRole"),
        must=[
            *(each for action in pulls for each in on(f"ecr:{action}", images)),
            op("ecr:GetAuthorizationToken"),
            op("logs:CreateLogStream", log),
            op("logs:PutLogEvents", log),
        ],
        must_not=[*objects("Get Put", "runs"), op("ecr:BatchGetImage", arn("ecr", "repository/other")), op("sqs:ReceiveMessage", QUEUE)],
    )


def machines(template: Template) -> Role:
    """What the ECS agent calls: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/instance_IAM_role.html"""
    cluster, machine = arn("ecs", "cluster/AWSBatch-GpuSpot-1"), arn("ecs", "container-instance/AWSBatch-GpuSpot-1/9c")
    log = arn("logs", "log-group:/stagger/stagger-jobs:log-stream:x")
    joins = ("RegisterContainerInstance", "DeregisterContainerInstance")
    tells = ("SubmitContainerStateChange", "SubmitTaskStateChange", "SubmitAttachmentStateChanges")
    return Role(
        "GPU machines",
        statements(template, "InstanceRole"),
        must=[
            *(op(f"ecs:{each}", cluster) for each in joins + tells),
            *(op(f"ecs:{each}", machine) for each in ("Poll", "StartTelemetrySession", "UpdateContainerInstancesState")),
            Operation("ecs:TagResource", (machine,), {"ecs:CreateAction": "RegisterContainerInstance"}),
            op("ecs:DiscoverPollEndpoint"),
            op("logs:CreateLogStream", log),
            op("logs:PutLogEvents", log),
        ],
        must_not=[
            op("ecs:TagResource", machine),
            op("ecs:RunTask", arn("ecs", "task-definition/any")),
            *objects("Get Put", "runs"),
            op("sqs:ReceiveMessage", QUEUE),
        ],
    )


def schedulers(template: Template) -> Role:
    return Role(
        "scheduler",
        statements(template, "SchedulerRole"),
        must=[*submits("control", "controller"), *submits("control", "janitor")],
        must_not=[*submits("gpu", "worker-gpu"), op("batch:TerminateJob", JOB), *objects("Get", "studies")],
    )


def check(role: Role) -> list[str]:
    """What is wrong with a role."""
    wrong = [f"wildcard in {each['Action']}" for each in role.statements if "*" in "".join(several(each["Action"]))]
    wrong += [f"is refused {each}" for each in role.must if not allows(role.statements, each)]
    forbidden = [each for each in role.must_not + NEVER if each not in role.must]
    wrong += [f"may {each}" for each in forbidden if allows(role.statements, each)]
    for name, fewer in without_one_permission(role.statements):
        if all(allows(fewer, each) for each in role.must):
            wrong.append(f"nothing needs {name}")
    for name, wider in without_one_condition(role.statements):
        if not any(allows(wider, each) for each in forbidden):
            wrong.append(f"nothing is kept out by the condition {name}")
    return wrong


def trust(template: Template) -> list[str]:
    """A role is taken by its service, and where that tells for whom, for nobody else's account."""
    services = {"ExecutionRole": "ecs-tasks", "InstanceRole": "ec2", "SchedulerRole": "scheduler"}
    wrong = []
    for name, role in template.of_type("AWS::IAM::Role").items():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        service = f"{services.get(name, 'ecs-tasks')}.amazonaws.com"
        if statement["Principal"] != {"Service": service} or statement["Action"] != "sts:AssumeRole":
            wrong.append(f"{name} is not {service}'s alone")
        # A role can be passed within its own account alone; these two services are not known to give a source.
        if name not in ("InstanceRole", "ExecutionRole") and statement.get("Condition") != {"StringEquals": {"aws:SourceAccount": ACCOUNT}}:
            wrong.append(f"{name} may be taken for another account")
    return wrong


def resource_policies(template: Template) -> list[str]:
    """Queues and topic refuse plain HTTP; EventBridge alone may publish, under a key for this topic."""
    wrong = []
    plain = {"aws:SecureTransport": "false"}
    (queues,) = template.of_type("AWS::SQS::QueuePolicy").values()
    (topic,) = template.of_type("AWS::SNS::TopicPolicy").values()
    anything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    for policy, operation in (
        (queues, Operation("sqs:SendMessage", (QUEUE,), plain)),
        (queues, Operation("sqs:ReceiveMessage", (arn("sqs", "stagger-jobs-dead"),), plain)),
        (topic, Operation("sns:Publish", (arn("sns", "stagger-jobs-runs"),), plain)),
    ):
        if allows([*policy["PolicyDocument"]["Statement"], anything], operation):
            wrong.append(f"{operation} is taken")
    allowing = [each for each in topic["PolicyDocument"]["Statement"] if each["Effect"] == "Allow"]
    published = Operation("sns:Publish", (arn("sns", "stagger-jobs-runs"),), {})
    # A condition here drops every message: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-troubleshooting.html
    if not allows(allowing, published) or [each["Principal"] for each in allowing] != [{"Service": "events.amazonaws.com"}]:
        wrong.append("the topic does not take EventBridge's messages, or takes another's")
    (key,) = template.of_type("AWS::KMS::Key").values()
    services = [each for each in key["KeyPolicy"]["Statement"] if "Service" in each["Principal"]]
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        for name, expected in (("stagger-jobs-runs", True), ("other", False)):
            operation = Operation(action, ("*",), {"kms:EncryptionContext:aws:sns:topicArn": arn("sns", name)})
            if allows(services, operation) != expected:
                wrong.append(f"the key {'refuses' if expected else 'allows'} {operation}")
    return wrong


# What the program calls for each action; an action without a call is one too many. `None`: the service's own doing.
CALLS = {
    "s3:GetObject": r"\.(get|head)_object\(\)",
    "s3:PutObject": r"\.put_object\(\)",
    "s3:DeleteObject": r"\.delete_objects?\(\)",
    "s3:ListBucket": r"\.list_objects_v2\(\)",
    "lambda:InvokeFunction": r"\.invoke\(\)",
    "lambda:GetFunctionConfiguration": r"\.get_function_configuration\(\)",
    "lambda:GetFunctionConcurrency": r"\.get_function_concurrency\(\)",
    "sqs:SendMessage": r"\.send_message(_batch)?\(\)",
    "sqs:ReceiveMessage": r"\.receive_message\(\)",
    "sqs:DeleteMessage": r"\.delete_message(_batch)?\(\)",
    "sqs:ChangeMessageVisibility": r"\.change_message_visibility(_batch)?\(\)",
    "sns:Publish": r"\.publish\(\)",
    "sns:GetTopicAttributes": r"\.get_topic_attributes\(\)",
    "batch:SubmitJob": r"\.submit_job\(\)",
    "batch:TerminateJob": r"\.terminate_job\(\)",
    "batch:ListJobs": r"\.list_jobs\(\)",
    "batch:TagResource": r"\.submit_job\(\)",
    "kms:Decrypt": r"\.publish\(\)",
    "kms:GenerateDataKey": r"\.publish\(\)",
}
SOURCES = ("crates/*/src", "controller/src", "function/src", "gpu-worker/src")
OF_SERVICES = {"functions": "logs:", "execution": "", "GPU machines": "", "scheduler": ""}


# Publishing to an encrypted topic is what takes the key.
CLIENTS = {"kms": "sns"}


def has_client(action: str) -> bool:
    """Whether the program is built with a client of the action's service; what it does not have it can't call."""
    service = action.split(":")[0]
    return f'name = "aws-sdk-{CLIENTS.get(service, service)}"' in (INFRA.parent / "Cargo.lock").read_text()


def uncalled(roles: list[Role]) -> list[str]:
    """Permissions that no line of the program uses."""
    source = "\n".join(path.read_text() for folder in SOURCES for path in INFRA.parent.glob(f"{folder}/**/*.rs"))
    wrong = []
    for role in roles:
        for action in sorted({each for statement in role.statements for each in several(statement["Action"])}):
            if role.name in OF_SERVICES and action.startswith(OF_SERVICES[role.name]):
                continue
            if has_client(action) and not re.search(CALLS[action], source):
                wrong.append(f"{role.name}: nothing calls {action}")
    return wrong


# What `stagger doctor` asks for, and does without where it is refused.
DOCTORS = {"lambda:GetAccountSettings"}


def unpermitted() -> list[str]:
    """Calls of the program that no list here knows: the first run in an account would be refused."""
    source = "\n".join(path.read_text() for folder in SOURCES for path in INFRA.parent.glob(f"{folder}/**/*.rs"))
    wrong = []
    for service in ("s3", "lambda", "sqs", "sns", "batch"):
        for name in botocore.session.get_session().get_service_model(service).operation_names:
            called = re.search(rf"\.{xform_name(name)}\(\)", source)
            known = any(re.fullmatch(pattern, called[0]) for pattern in CALLS.values()) if called else True
            if has_client(f"{service}:x") and not known and f"{service}:{name}" not in DOCTORS:
                wrong.append(f"the program calls {service}:{name}, which no role is known to need")
    return wrong


def main() -> None:
    first, third = stagger(), jobs()
    roles = [functions(first), who_runs(first), workers(third), who_runs_queues(third), controllers(third), janitors(third)]
    roles += [executions(third), machines(third), schedulers(third)]
    failed = 0
    for role in roles:
        wrong = check(role)
        failed += len(wrong)
        pairs = sum(1 for _ in without_one_permission(role.statements))
        print(f"{'FAILED' if wrong else 'ok'}: permissions: {role.name}: {pairs} permissions, each needed by one of {len(role.must)} operations")
        for each in wrong:
            print(f"  {role.name}: {each}", file=sys.stderr)
    rest = trust(third) + resource_policies(third)
    rest += uncalled(roles) + unpermitted()
    for each in rest:
        print(f"  {each}", file=sys.stderr)
    if failed + len(rest):
        sys.exit("check-jobs: permissions are not as needed\nhint: a permission and the operation that needs it change together, in permissions.py")
    without = sorted({action.split(":")[0] for action in CALLS if not has_client(action)})
    print(f"ok: permissions: trust, resource policies, and the calls of the program{f' (which has no client of {', '.join(without)})' if without else ''}")


if __name__ == "__main__":
    main()

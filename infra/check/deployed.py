"""Deploys stagger-jobs.yaml to LocalStack, without what LocalStack lacks (Batch, ECR), and looks at what is there.

deployed.py ENDPOINT
"""

import json
import sys
import time

import boto3
from botocore.config import Config

from template import Template

STACK = f"jobs-{time.time_ns()}"
PATIENCE_SECONDS = 60


class Cloud:
    """The services of an endpoint, by name."""

    def __init__(self, endpoint: str):
        self._endpoint = endpoint

    def __getattr__(self, service: str):
        client = boto3.client(
            service,
            endpoint_url=self._endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            # The machine's proxy is not for a server on the same machine.
            config=Config(proxies={}, read_timeout=PATIENCE_SECONDS),
        )
        setattr(self, service, client)
        return client


def deploy(cloud: Cloud, policy: str) -> dict[str, str]:
    given = {
        "Bucket": "stagger",
        "ControllerPolicy": policy,
        "Functions": "stagger-small",
        "Batch": "false",
        "Repositories": "false",
        "Vpc": "vpc-0123456789abcdef0",
        "Subnets": "subnet-0123456789abcdef0",
        "NotifyEmail": "",
        "InputArns": "arn:aws:s3:::my-data/panel/*",
        "RunArguments": "--backend,both,--gpu-above,2GB",
    }
    cloud.cloudformation.create_stack(
        StackName=STACK,
        TemplateBody=made(given),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    stack = settle(cloud)
    if stack["StackStatus"] != "CREATE_COMPLETE":
        events = cloud.cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
        failed = [f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason')}" for each in events if "FAILED" in each["ResourceStatus"]]
        sys.exit(f"check-jobs: can't deploy to LocalStack: {stack.get('StackStatusReason')}; {'; '.join(failed)}")
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def made(given: dict[str, str]) -> str:
    """The template without what its conditions leave out: LocalStack refuses kinds that it lacks even where none is made."""
    template = Template("stagger-jobs.yaml", STACK, given)
    whole = template.source
    return json.dumps(
        whole
        | {
            "Resources": {key: each for key, each in whole["Resources"].items() if key in template.resources},
            "Outputs": {key: each for key, each in whole["Outputs"].items() if template.holds(each.get("Condition"))},
        }
    )


def settle(cloud: Cloud) -> dict:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        stack = cloud.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        if not stack["StackStatus"].endswith("_IN_PROGRESS") or time.monotonic() > deadline:
            return stack
        time.sleep(0.1)


def attributes(cloud: Cloud, url: str) -> dict:
    return cloud.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


def queues_are_as_told(cloud: Cloud, outputs: dict[str, str]) -> None:
    tasks, dead = attributes(cloud, outputs["Queue"]), attributes(cloud, outputs["DeadLetters"])
    assert tasks["VisibilityTimeout"] == "60", tasks
    assert tasks["ReceiveMessageWaitTimeSeconds"] == "20", tasks
    assert "FifoQueue" not in tasks, tasks
    redrive = json.loads(tasks["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"] == dead["QueueArn"] and int(redrive["maxReceiveCount"]) == 5, redrive
    allowed = json.loads(dead["RedriveAllowPolicy"])
    assert allowed == {"redrivePermission": "byQueue", "sourceQueueArns": [tasks["QueueArn"]]}, allowed
    for each in (tasks, dead):
        assert each["SqsManagedSseEnabled"] == "true", each
        refuses_plain_http(json.loads(each["Policy"]), each["QueueArn"])


def refuses_plain_http(policy: dict, resource: str) -> None:
    for statement in policy["Statement"]:
        resources = statement["Resource"]
        if (
            statement["Effect"] == "Deny"
            and statement["Principal"] in ("*", {"AWS": "*"})
            and resource in ([resources] if isinstance(resources, str) else resources)
            and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        ):
            return
    raise AssertionError(f"{resource} takes requests without TLS: {policy}")


def a_task_that_nobody_ends_goes_to_the_dead_letters(cloud: Cloud, outputs: dict[str, str]) -> None:
    cloud.sqs.send_message(QueueUrl=outputs["Queue"], MessageBody="poison")
    for attempt in range(5):
        got = cloud.sqs.receive_message(
            QueueUrl=outputs["Queue"], WaitTimeSeconds=5, MessageSystemAttributeNames=["ApproximateReceiveCount"]
        )["Messages"]
        assert got[0]["Attributes"]["ApproximateReceiveCount"] == str(attempt + 1), got
        # As a worker that is told to stop hands it back.
        cloud.sqs.change_message_visibility(QueueUrl=outputs["Queue"], ReceiptHandle=got[0]["ReceiptHandle"], VisibilityTimeout=0)
    sixth = cloud.sqs.receive_message(QueueUrl=outputs["Queue"], WaitTimeSeconds=1).get("Messages", [])
    assert not sixth, f"received a sixth time: {sixth}"
    dead = cloud.sqs.receive_message(QueueUrl=outputs["DeadLetters"], WaitTimeSeconds=5)["Messages"]
    assert dead[0]["Body"] == "poison", dead


def notifications_arrive(cloud: Cloud, outputs: dict[str, str]) -> None:
    topic = outputs["Topic"]
    told = cloud.sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert told["KmsMasterKeyId"], told
    refuses_plain_http(json.loads(told["Policy"]), topic)
    inbox = cloud.sqs.create_queue(QueueName=f"{STACK}-inbox")["QueueUrl"]
    try:
        cloud.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=attributes(cloud, inbox)["QueueArn"])
        cloud.sns.publish(TopicArn=topic, Subject="stagger: nightly is done", Message="$0.12")
        got = cloud.sqs.receive_message(QueueUrl=inbox, WaitTimeSeconds=5)["Messages"]
        assert json.loads(got[0]["Body"])["Message"] == "$0.12", got
    finally:
        cloud.sqs.delete_queue(QueueUrl=inbox)


def a_failed_controller_is_told(cloud: Cloud, outputs: dict[str, str]) -> None:
    rule = cloud.events.describe_rule(Name=f"{STACK}-failed")
    event = {
        "id": "1",
        "source": "aws.batch",
        "detail-type": "Batch Job State Change",
        "account": "000000000000",
        "region": "us-east-1",
        "time": "2026-11-21T03:00:00Z",
        "resources": [],
        "detail": {"status": "FAILED", "jobQueue": f"arn:aws:batch:us-east-1:000000000000:job-queue/{STACK}-control"},
    }
    workers = {**event, "detail": {**event["detail"], "jobQueue": event["detail"]["jobQueue"].replace("control", "gpu")}}
    done = {**event, "detail": {**event["detail"], "status": "SUCCEEDED"}}
    for each, expected in ((event, True), (workers, False), (done, False)):
        matched = cloud.events.test_event_pattern(EventPattern=rule["EventPattern"], Event=json.dumps(each))["Result"]
        assert matched == expected, (rule["EventPattern"], each)
    (target,) = cloud.events.list_targets_by_rule(Rule=f"{STACK}-failed")["Targets"]
    assert target["Arn"] == outputs["Topic"], target


def schedules_submit_jobs(cloud: Cloud, outputs: dict[str, str]) -> None:
    schedule = cloud.scheduler.get_schedule(Name=f"{STACK}-study", GroupName=STACK)
    assert schedule["State"] == "DISABLED", schedule
    assert schedule["ScheduleExpression"] == "cron(0 3 * * ? *)", schedule
    request = submission(cloud, schedule)
    assert request["JobDefinition"] == f"{STACK}-controller" and request["JobQueue"] == f"{STACK}-control", request
    command = request["ContainerOverrides"]["Command"]
    assert command == [
        *("run", "s3://stagger/studies/study.toml", "--json"),
        *("--out", "s3://stagger/results/{date}/{run}", "--run-name", "nightly-{date}", "--notify", outputs["Topic"]),
        *("--backend", "both", "--gpu-above", "2GB"),
    ], command
    janitor = cloud.scheduler.get_schedule(Name=f"{STACK}-janitor", GroupName=STACK)
    assert janitor["ScheduleExpression"] == "rate(15 minutes)" and janitor["State"] == "DISABLED", janitor
    assert submission(cloud, janitor)["JobDefinition"] == f"{STACK}-janitor", janitor


def submission(cloud: Cloud, schedule: dict) -> dict:
    target = schedule["Target"]
    assert target["Arn"] == "arn:aws:scheduler:::aws-sdk:batch:submitJob", target
    role = cloud.iam.get_role(RoleName=target["RoleArn"].rsplit("/", 1)[1])["Role"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "scheduler.amazonaws.com"}, role
    return json.loads(target["Input"])


def roles_are_apart(cloud: Cloud, outputs: dict[str, str]) -> None:
    found = cloud.cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
    roles = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found if each["ResourceType"] == "AWS::IAM::Role"}
    assert set(roles) == {"WorkerRole", "ControllerRole", "JanitorRole", "SchedulerRole"}, roles
    worker = cloud.iam.get_role_policy(RoleName=roles["WorkerRole"], PolicyName="worker")["PolicyDocument"]
    actions = {action for each in worker["Statement"] for action in ([each["Action"]] if isinstance(each["Action"], str) else each["Action"])}
    assert actions == {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "s3:GetObject", "s3:PutObject"}, actions
    attached = cloud.iam.list_attached_role_policies(RoleName=roles["ControllerRole"])["AttachedPolicies"]
    assert {each["PolicyArn"] for each in attached} == {outputs["QueuePolicy"], controller_policy_arn(cloud)}, attached


def controller_policy_arn(cloud: Cloud) -> str:
    account = cloud.sts.get_caller_identity()["Account"]
    return f"arn:aws:iam::{account}:policy/{STACK}-controller"


def main() -> None:
    (endpoint,) = sys.argv[1:]
    cloud = Cloud(endpoint)
    nothing = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::stagger/runs/*"}]}
    policy = cloud.iam.create_policy(PolicyName=f"{STACK}-controller", PolicyDocument=json.dumps(nothing))["Policy"]["Arn"]
    try:
        outputs = deploy(cloud, policy)
        for check in (
            queues_are_as_told,
            a_task_that_nobody_ends_goes_to_the_dead_letters,
            notifications_arrive,
            a_failed_controller_is_told,
            schedules_submit_jobs,
            roles_are_apart,
        ):
            check(cloud, outputs)
            print(f"ok: LocalStack: {check.__name__.replace('_', ' ')}")
    finally:
        cloud.cloudformation.delete_stack(StackName=STACK)


main()

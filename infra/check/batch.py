"""Makes the Batch parts of stagger-jobs.yaml at a moto server, by the API that CloudFormation would call, and uses them as
the controller and the schedules do. Every request is checked against AWS's own description of the API, which botocore has.
"""

import json
import logging
import os
import re

os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "127.0.0.1"}

import boto3
import requests
from botocore.model import Shape
from moto.server import ThreadedMotoServer

from template import INFRA, Template, jobs

# CloudFormation's own settings, which say how it changes what is there.
OF_CLOUDFORMATION = {"ReplaceComputeEnvironment", "UpdateToLatestImageVersion"}


def request(shape: Shape, value, where: str):
    """A template's properties, or a schedule's input, as the API wants them; fails at what the API does not know."""
    match shape.type_name:
        case "structure":
            known = {name.lower(): name for name in shape.members}
            made = {}
            for key, each in value.items():
                if key in OF_CLOUDFORMATION:
                    continue
                assert key.lower() in known, f"{where} has no {key}"
                name = known[key.lower()]
                made[name] = request(shape.members[name], each, f"{where}.{name}")
            if missing := set(shape.required_members) - set(made):
                raise AssertionError(f"{where} lacks {sorted(missing)}")
            return made
        case "list":
            return [request(shape.member, each, f"{where}[]") for each in value]
        case "map":
            return {key: request(shape.value, each, f"{where}.{key}") for key, each in value.items()}
        case "integer" | "long":
            return int(value)
        case "boolean":
            assert isinstance(value, bool), f"{where} is {value!r}"
            return value
        case "string":
            if shape.enum:
                assert value in shape.enum, f"{where} is {value}, not one of {shape.enum}"
            return str(value)
    raise AssertionError(f"{where} is a {shape.type_name}")


class Api:
    """Batch at moto, with requests in a template's spelling."""

    def __init__(self, url: str):
        self.client = boto3.client("batch", endpoint_url=url)

    def call(self, operation: str, properties: dict) -> dict:
        shape = self.client.meta.service_model.operation_model(operation).input_shape
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
        return getattr(self.client, method)(**request(shape, properties, operation))


def make(url: str, template: Template) -> Api:
    ec2, iam, batch = boto3.client("ec2", endpoint_url=url), boto3.client("iam", endpoint_url=url), Api(url)
    subnet = ec2.describe_subnets()["Subnets"][0]
    group = ec2.create_security_group(GroupName="jobs", Description="jobs", VpcId=subnet["VpcId"])["GroupId"]
    launch = template.of_type("AWS::EC2::LaunchTemplate")["LaunchTemplate"]["LaunchTemplateData"]
    launch_id = ec2.create_launch_template(LaunchTemplateName="jobs", LaunchTemplateData=launch)["LaunchTemplate"]["LaunchTemplateId"]
    for name, role in template.of_type("AWS::IAM::Role").items():
        iam.create_role(RoleName=f"{template.stack}-{name}", AssumeRolePolicyDocument=json.dumps(role["AssumeRolePolicyDocument"]))
    iam.create_instance_profile(InstanceProfileName=f"{template.stack}-InstanceProfile")
    iam.add_role_to_instance_profile(InstanceProfileName=f"{template.stack}-InstanceProfile", RoleName=f"{template.stack}-InstanceRole")

    # AWS takes its own role for Batch where none is given; moto wants it named.
    service = iam.create_service_linked_role(AWSServiceName="batch.amazonaws.com")["Role"]["Arn"]
    environments = {}
    for name, properties in template.of_type("AWS::Batch::ComputeEnvironment").items():
        resources = properties["ComputeResources"] | {"Subnets": [subnet["SubnetId"]], "SecurityGroupIds": [group]}
        if "LaunchTemplate" in resources:
            resources["LaunchTemplate"] = {"LaunchTemplateId": launch_id, "Version": "1"}
        properties = properties | {"ComputeEnvironmentName": name, "ServiceRole": service, "ComputeResources": resources}
        made = batch.call("CreateComputeEnvironment", properties)
        environments[template.attribute(name, "Arn")] = made["computeEnvironmentArn"]
    for properties in template.of_type("AWS::Batch::JobQueue").values():
        order = [each | {"ComputeEnvironment": environments[each["ComputeEnvironment"]]} for each in properties["ComputeEnvironmentOrder"]]
        batch.call("CreateJobQueue", properties | {"ComputeEnvironmentOrder": order})
    for properties in template.of_type("AWS::Batch::JobDefinition").values():
        batch.call("RegisterJobDefinition", properties)
    return batch


def everything_scales_to_zero(batch: Api, template: Template) -> None:
    found = batch.client.describe_compute_environments()["computeEnvironments"]
    assert len(found) == 4, found
    for each in found:
        resources = each["computeResources"]
        assert each["type"] == "MANAGED" and resources.get("minvCpus", 0) == 0 and resources.get("desiredvCpus", 0) == 0, each


def spot_comes_first_and_controllers_are_never_on_it(batch: Api, template: Template) -> None:
    kinds = {each["computeEnvironmentArn"]: each["computeResources"]["type"] for each in batch.client.describe_compute_environments()["computeEnvironments"]}
    queues = {each["jobQueueName"]: each for each in batch.client.describe_job_queues()["jobQueues"]}

    def order(queue: str) -> list[str]:
        environments = sorted(queues[f"{template.stack}-{queue}"]["computeEnvironmentOrder"], key=lambda each: each["order"])
        return [kinds[each["computeEnvironment"]] for each in environments]

    assert order("gpu") == ["SPOT", "EC2"], order("gpu")
    assert order("cpu") == ["FARGATE_SPOT", "FARGATE"], order("cpu")
    assert order("control") == ["FARGATE"], order("control")


def definitions_hold_no_secrets_and_no_privileges(batch: Api, template: Template) -> None:
    for each in batch.client.describe_job_definitions(status="ACTIVE")["jobDefinitions"]:
        container = each["containerProperties"]
        assert not container.get("privileged"), each
        assert container["readonlyRootFilesystem"], each
        assert not container.get("secrets"), each
        assert {entry["name"] for entry in container["environment"]} <= {"AWS_REGION", "STAGGER_BUCKET", "STAGGER_BUCKETS", "STAGGER_FUNCTION", "STAGGER_QUEUE"}, each
        assert container["jobRoleArn"] != container["executionRoleArn"], each
        assert each["timeout"]["attemptDurationSeconds"] >= 60, each


def the_gpu_worker_has_one_gpu_and_survives_its_host(batch: Api, template: Template) -> None:
    (worker,) = batch.client.describe_job_definitions(jobDefinitionName=f"{template.stack}-worker-gpu")["jobDefinitions"]
    wanted = {each["type"]: each["value"] for each in worker["containerProperties"]["resourceRequirements"]}
    assert wanted["GPU"] == "1" and int(wanted["VCPU"]) <= 4, wanted
    command = worker["containerProperties"]["command"]
    assert command[command.index("--device") + 1] == "cuda" and command[command.index("--queue") + 1] == template.reference("Queue"), command
    retry = worker["retryStrategy"]
    again = [each["onStatusReason"] for each in retry["evaluateOnExit"] if each["action"].upper() == "RETRY"]
    assert retry["attempts"] > 1 and again == ["Host EC2*"], retry


def a_controller_starts_sees_and_ends_its_workers(batch: Api, template: Template) -> None:
    """--batch stagger-jobs-gpu:stagger-jobs-worker-gpu:4"""
    submitted = batch.client.submit_job(
        jobName="stagger-nightly-2026-11-21",
        jobQueue=f"{template.stack}-gpu",
        jobDefinition=f"{template.stack}-worker-gpu",
        arrayProperties={"size": 4},
        tags={"stagger-run": "nightly-2026-11-21"},
        containerOverrides={"environment": [{"name": "STAGGER_RUN", "value": "nightly-2026-11-21"}]},
    )
    (job,) = batch.client.describe_jobs(jobs=[submitted["jobId"]])["jobs"]
    assert job["arrayProperties"]["size"] == 4, job
    assert job["tags"] == {"stagger-run": "nightly-2026-11-21"}, job
    assert job["jobQueue"].endswith(f"job-queue/{template.stack}-gpu"), job
    assert f"job-definition/{template.stack}-worker-gpu:" in job["jobDefinition"], job
    # As the janitor finds them.
    listed = batch.client.list_jobs(jobQueue=f"{template.stack}-gpu", filters=[{"name": "JOB_NAME", "values": ["stagger-nightly-2026-11-21"]}])
    assert submitted["jobId"] in [each["jobId"] for each in listed["jobSummaryList"]], listed
    batch.client.terminate_job(jobId=submitted["jobId"], reason="the run is done")


def schedules_submit_what_batch_takes(batch: Api, template: Template) -> None:
    for name, schedule in template.of_type("AWS::Scheduler::Schedule").items():
        submitted = batch.call("SubmitJob", json.loads(schedule["Target"]["Input"]))
        (job,) = batch.client.describe_jobs(jobs=[submitted["jobId"]])["jobs"]
        assert job["jobQueue"].endswith(f"job-queue/{template.stack}-control"), (name, job)


def the_controller_names_its_jobs_as_permissions_expect(batch: Api, template: Template) -> None:
    """A job without the tag could be started and never ended: AWS would tell only when it is too late."""
    sources = [path.read_text() for path in INFRA.parent.glob("crates/aws/src/**/*.rs")]
    assert sources, "no sources of the AWS clients"
    if any("submit_job(" in each for each in sources):
        assert any('"stagger-run"' in each for each in sources), 'submit_job without the tag "stagger-run", by which TerminateJob is allowed'


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        # Jobs are not run: that would need Docker.
        requests.post(f"{url}/moto-api/config", json={"batch": {"use_docker": False}}, timeout=30).raise_for_status()
        template = jobs()
        batch = make(url, template)
        for check in (
            everything_scales_to_zero,
            spot_comes_first_and_controllers_are_never_on_it,
            definitions_hold_no_secrets_and_no_privileges,
            the_gpu_worker_has_one_gpu_and_survives_its_host,
            a_controller_starts_sees_and_ends_its_workers,
            schedules_submit_what_batch_takes,
            the_controller_names_its_jobs_as_permissions_expect,
        ):
            check(batch, template)
            print(f"ok: Batch: {check.__name__.replace('_', ' ')}")
    finally:
        server.stop()


main()

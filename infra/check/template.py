"""CloudFormation templates as they would be deployed: conditions decided, references and functions resolved to made-up ids."""

import re
from pathlib import Path

import yaml

INFRA = Path(__file__).resolve().parents[1]
ACCOUNT, REGION = "123456789012", "us-east-1"
PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::URLSuffix": "amazonaws.com",
}
ABSENT = object()


class Loader(yaml.SafeLoader):
    """Reads `!Sub` and its like as the long form does: {'Fn::Sub': …}."""


def intrinsic(loader: Loader, suffix: str, node: yaml.Node) -> dict:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True)}


Loader.add_multi_constructor("!", intrinsic)


def arn(service: str, name: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"


class Template:
    """`resources` has what a deployment with these parameters makes, by logical name."""

    def __init__(self, name: str, stack: str, parameters: dict[str, str]):
        self.source = yaml.load((INFRA / name).read_text(), Loader)
        self.stack = stack
        if unknown := set(parameters) - set(self.source["Parameters"]):
            raise ValueError(f"{name} has no parameters {sorted(unknown)}")
        self.parameters = {}
        for key, declared in self.source["Parameters"].items():
            if key not in parameters and "Default" not in declared:
                raise ValueError(f"{name} needs parameter {key}")
            value = str(parameters.get(key, declared.get("Default")))
            self.parameters[key] = value.split(",") if declared["Type"] == "CommaDelimitedList" else value
        self.resources = {
            key: {**declared, "Properties": self.resolve(declared.get("Properties", {}))}
            for key, declared in self.source["Resources"].items()
            if self.holds(declared.get("Condition"))
        }

    def holds(self, condition: str | None) -> bool:
        return condition is None or self.resolve(self.source["Conditions"][condition])

    def of_type(self, kind: str) -> dict[str, dict]:
        return {key: each["Properties"] for key, each in self.resources.items() if each["Type"] == kind}

    def resolve(self, value):
        if isinstance(value, list):
            return [each for each in map(self.resolve, value) if each is not ABSENT]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name in FUNCTIONS:
                return FUNCTIONS[name](self, argument)
        resolved = {key: self.resolve(each) for key, each in value.items()}
        return {key: each for key, each in resolved.items() if each is not ABSENT}

    def reference(self, name: str):
        if name == "AWS::NoValue":
            return ABSENT
        if name == "AWS::StackName":
            return self.stack
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            return self.parameters[name]
        kind, properties = self._declared(name)
        match kind:
            case "AWS::SQS::Queue":
                return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{self.resolve(properties['QueueName'])}"
            case "AWS::SNS::Topic" | "AWS::IAM::ManagedPolicy" | "AWS::Batch::ComputeEnvironment":
                return self.attribute(name, "Arn")
            case "AWS::Logs::LogGroup":
                return self.resolve(properties["LogGroupName"])
            case "AWS::Scheduler::ScheduleGroup":
                return self.resolve(properties["Name"])
            case "AWS::Lambda::Function":
                return self.resolve(properties["FunctionName"])
            case "AWS::EC2::SecurityGroup":
                return "sg-0123456789abcdef0"
            case "AWS::EC2::LaunchTemplate":
                return "lt-0123456789abcdef0"
        return f"{self.stack}-{name}"

    def attribute(self, name: str, attribute: str) -> str:
        kind, properties = self._declared(name)
        if attribute == "LatestVersionNumber":
            return "1"
        match kind:
            case "AWS::SQS::Queue":
                return arn("sqs", self.resolve(properties["QueueName"]))
            case "AWS::SNS::Topic":
                return arn("sns", self.resolve(properties["TopicName"]))
            case "AWS::KMS::Key":
                return arn("kms", f"key/{name}")
            case "AWS::IAM::Role":
                return f"arn:aws:iam::{ACCOUNT}:role/{self.stack}-{name}"
            case "AWS::IAM::InstanceProfile":
                return f"arn:aws:iam::{ACCOUNT}:instance-profile/{self.stack}-{name}"
            case "AWS::IAM::ManagedPolicy":
                return f"arn:aws:iam::{ACCOUNT}:policy/{self.stack}-{name}"
            case "AWS::Batch::ComputeEnvironment":
                return arn("batch", f"compute-environment/{name}")
            case "AWS::ECR::Repository":
                repository = self.resolve(properties["RepositoryName"])
                if attribute == "RepositoryUri":
                    return f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{repository}"
                return arn("ecr", f"repository/{repository}")
            case "AWS::Logs::LogGroup":
                return arn("logs", f"log-group:{self.resolve(properties['LogGroupName'])}:*")
            case "AWS::Lambda::Function":
                return arn("lambda", f"function:{self.resolve(properties['FunctionName'])}")
            case "AWS::S3::Bucket":
                return f"arn:aws:s3:::{self.reference(name)}"
        raise ValueError(f"{name}.{attribute} of {kind} is not known")

    def _declared(self, name: str) -> tuple[str, dict]:
        declared = self.source["Resources"].get(name)
        if declared is None:
            raise ValueError(f"nothing is named {name}")
        if not self.holds(declared.get("Condition")):
            raise ValueError(f"{name} is referred to where it is not made")
        return declared["Type"], declared.get("Properties", {})

    def _substitute(self, argument) -> str:
        text, given = argument if isinstance(argument, list) else (argument, {})

        def one(found: re.Match) -> str:
            name = found[1]
            if name in given:
                return str(self.resolve(given[name]))
            return str(self.attribute(*name.split(".", 1)) if "." in name else self.reference(name))

        return re.sub(r"\$\{([^}]+)\}", one, text)

    def _choose(self, argument):
        condition, then, otherwise = argument
        return self.resolve(then if self.holds(condition) else otherwise)


FUNCTIONS = {
    "Ref": Template.reference,
    "Condition": Template.holds,
    "Fn::GetAtt": lambda self, argument: self.attribute(*argument),
    "Fn::Sub": Template._substitute,
    "Fn::If": Template._choose,
    "Fn::Equals": lambda self, argument: str(self.resolve(argument[0])) == str(self.resolve(argument[1])),
    "Fn::Not": lambda self, argument: not self.resolve(argument[0]),
    "Fn::Join": lambda self, argument: argument[0].join(map(str, self.resolve(argument[1]))),
    "Fn::Split": lambda self, argument: self.resolve(argument[1]).split(argument[0]),
}


def stagger() -> Template:
    return Template("stagger.yaml", "stagger", {"CodeBucket": "code", "CodeKey": "code.zip", "InputArns": INPUTS})


INPUTS = "arn:aws:s3:::my-data/panel/*"


def jobs(**parameters: str) -> Template:
    given = {
        "Bucket": "stagger-Bucket",
        "ControllerPolicy": f"arn:aws:iam::{ACCOUNT}:policy/stagger-ControllerPolicy",
        "Functions": "stagger-small,stagger-medium,stagger-large",
        "Vpc": "vpc-0123456789abcdef0",
        "Subnets": "subnet-0123456789abcdef0",
        "InputArns": INPUTS,
        "InputBuckets": "arn:aws:s3:::my-data",
        "InputPrefixes": "panel/*",
    }
    return Template("stagger-jobs.yaml", "stagger-jobs", given | parameters)

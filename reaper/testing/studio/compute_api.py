"""SageMaker's operations on notebook instances, endpoints and jobs.

What is not there answers a ValidationException for most of them, whatever the service model says:
"RecordNotFound" (notebook instances), "Could not find endpoint", "Requested resource not found."
(training jobs), as Terraform and many a bug report have it.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from reaper.testing.aws_wire.faults import Refusal
from reaper.testing.studio.compute import Endpoint, Job, NotebookInstance
from reaper.testing.studio.estate import Place
from reaper.testing.studio.paging import listed, page
from reaper.testing.studio.studio import Studio

__all__ = ["OPERATIONS"]

Parameters = Mapping[str, Any]
Answer = dict[str, Any]
Operation = Callable[[Studio, Place, Parameters], Answer]

IMAGE_URI = "123456789012.dkr.ecr.us-east-1.amazonaws.com/work:latest"
BUCKET = "s3://fake-studio"


def list_notebook_instances(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """ListNotebookInstances: by name unless told otherwise."""
    now = studio.now()
    found = listed(
        parameters,
        [instance for instance in studio.notebook_instances if instance.place == place],
        name=lambda instance: instance.name,
        status=lambda instance: instance.status(now),
        created_at=lambda instance: instance.created_at,
        sort_by="Name",
    )
    shown, onward = page(parameters, found)
    return {"NotebookInstances": [_instance_summary(instance, now) for instance in shown], **onward}


def describe_notebook_instance(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """DescribeNotebookInstance."""
    instance = _instance(studio, place, parameters["NotebookInstanceName"])
    return {
        **_instance_summary(instance, studio.now()),
        "RoleArn": _role(place),
        "DirectInternetAccess": "Disabled",
        "VolumeSizeInGB": 5,
        "RootAccess": "Enabled",
        "PlatformIdentifier": "notebook-al2023-v1",
    }


def stop_notebook_instance(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """StopNotebookInstance: only one in service can be stopped."""
    instance = _instance(studio, place, parameters["NotebookInstanceName"])
    status = instance.status(studio.now())
    if status != "InService":
        raise Refusal(
            "ValidationException",
            f"Status ({status}) not in ([InService]). Unable to transition to (Stopping) for Notebook Instance "
            f"({instance.arn}).",
        )
    instance.stop_at = studio.now()
    return {}


def list_endpoints(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """ListEndpoints: the newest first unless told otherwise."""
    now = studio.now()
    found = listed(
        parameters,
        [endpoint for endpoint in studio.endpoints if endpoint.place == place and not endpoint.is_gone(now)],
        name=lambda endpoint: endpoint.name,
        status=lambda endpoint: endpoint.status(now),
        created_at=lambda endpoint: endpoint.created_at,
        newest_first=True,
    )
    shown, onward = page(parameters, found)
    return {"Endpoints": [_endpoint_summary(endpoint, now) for endpoint in shown], **onward}


def describe_endpoint(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """DescribeEndpoint."""
    endpoint = _endpoint(studio, place, parameters["EndpointName"])
    variants = [
        {"VariantName": name, "CurrentWeight": 1.0, "DesiredWeight": 1.0}
        | ({} if instance_type is None else {"CurrentInstanceCount": count, "DesiredInstanceCount": count})
        for name, (instance_type, count) in endpoint.variants.items()
    ]
    return {
        **_endpoint_summary(endpoint, studio.now()),
        "EndpointConfigName": endpoint.name,
        "ProductionVariants": variants,
        **(
            {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": BUCKET}}}
            if endpoint.asynchronous
            else {}
        ),
    }


def list_inference_components(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """ListInferenceComponents: of all endpoints; the fake knows no filter by endpoint."""
    now = studio.now()
    hosted = [
        (name, endpoint)
        for endpoint in studio.endpoints
        if endpoint.place == place and not endpoint.is_gone(now)
        for name in endpoint.components
    ]
    found = listed(
        parameters,
        hosted,
        name=lambda one: one[0],
        status=lambda _one: "InService",
        created_at=lambda one: one[1].created_at,
        newest_first=True,
    )
    shown, onward = page(parameters, found)
    return {"InferenceComponents": [_component(name, endpoint) for name, endpoint in shown], **onward}


def describe_endpoint_config(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """DescribeEndpointConfig: where an endpoint's instance types are told. It outlives its endpoint."""
    name = parameters["EndpointConfigName"]
    for endpoint in studio.endpoints:
        if endpoint.place == place and endpoint.name == name:
            return {
                "EndpointConfigName": name,
                "EndpointConfigArn": endpoint.config_arn,
                "ProductionVariants": [_variant(*entry) for entry in endpoint.variants.items()],
                "CreationTime": endpoint.created_at,
            }
    arn = place.arn(f"endpoint-config/{name.lower()}")
    raise Refusal("ValidationException", f'Could not find endpoint configuration "{arn}".')


def delete_endpoint(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """DeleteEndpoint: not while it changes."""
    endpoint = _endpoint(studio, place, parameters["EndpointName"])
    if endpoint.status(studio.now()) not in {"InService", "OutOfService", "Failed"}:
        raise Refusal("ValidationException", f'Cannot update in-progress endpoint "{endpoint.arn}".')
    endpoint.deletion_at = studio.now()
    return {}


def _words(kind: str) -> str:
    """`training-job` as the API writes it: `TrainingJob`."""
    return kind.title().replace("-", "")


def _list_jobs(kind: str, *, newest_first: bool = False) -> Operation:
    name, key = _words(kind), f"{_words(kind)}Summaries"

    def operation(studio: Studio, place: Place, parameters: Parameters) -> Answer:
        now = studio.now()
        found = listed(
            parameters,
            [job for job in studio.jobs if job.kind == kind and job.place == place],
            name=lambda job: job.name,
            status=lambda job: job.status(now),
            created_at=lambda job: job.created_at,
            newest_first=newest_first,
        )
        shown, onward = page(parameters, found)
        return {key: [_job_summary(job, name, now) for job in shown], **onward}

    return operation


def _describe_job(kind: str, details: Callable[[Job], Answer]) -> Operation:
    name = _words(kind)

    def operation(studio: Studio, place: Place, parameters: Parameters) -> Answer:
        job, now = _job(studio, place, kind, parameters[f"{name}Name"]), studio.now()
        return {**_job_summary(job, name, now), **details(job)}

    return operation


def _stop_job(kind: str) -> Operation:
    name, prose = _words(kind), kind.replace("-", " ")

    def operation(studio: Studio, place: Place, parameters: Parameters) -> Answer:
        job, now = _job(studio, place, kind, parameters[f"{name}Name"]), studio.now()
        if job.status(now) != "InProgress":  # seen of training jobs; taken to hold for the others too
            raise Refusal(
                "ValidationException",
                f"The request was rejected because the {prose} is in status {job.status(now)}.",
            )
        job.stop_at = now
        return {}

    return operation


def _training(job: Job) -> Answer:
    return {
        "ModelArtifacts": {"S3ModelArtifacts": f"{BUCKET}/{job.name}/model.tar.gz"},
        "AlgorithmSpecification": {"TrainingImage": IMAGE_URI, "TrainingInputMode": "File"},
        "RoleArn": _role(job.place),
        "OutputDataConfig": {"S3OutputPath": BUCKET},
        "ResourceConfig": {
            "InstanceType": job.instance_type,
            "InstanceCount": job.instance_count,
            "VolumeSizeInGB": 30,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 86_400},
        "EnableManagedSpotTraining": False,
        "TrainingStartTime": job.created_at,
    }


def _processing(job: Job) -> Answer:
    return {
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": job.instance_count,
                "InstanceType": job.instance_type,
                "VolumeSizeInGB": 30,
            }
        },
        "AppSpecification": {"ImageUri": IMAGE_URI},
        "RoleArn": _role(job.place),
        "ProcessingStartTime": job.created_at,
    }


def _transform(job: Job) -> Answer:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"{BUCKET}/in"}}
    return {
        "ModelName": "model",
        "TransformInput": {"DataSource": source},
        "TransformResources": {"InstanceType": job.instance_type, "InstanceCount": job.instance_count},
        "TransformStartTime": job.created_at,
    }


OPERATIONS: dict[str, Operation] = {
    "ListNotebookInstances": list_notebook_instances,
    "DescribeNotebookInstance": describe_notebook_instance,
    "StopNotebookInstance": stop_notebook_instance,
    "ListEndpoints": list_endpoints,
    "ListInferenceComponents": list_inference_components,
    "DescribeEndpoint": describe_endpoint,
    "DescribeEndpointConfig": describe_endpoint_config,
    "DeleteEndpoint": delete_endpoint,
    "ListTrainingJobs": _list_jobs("training-job"),
    "DescribeTrainingJob": _describe_job("training-job", _training),
    "StopTrainingJob": _stop_job("training-job"),
    "ListProcessingJobs": _list_jobs("processing-job"),
    "DescribeProcessingJob": _describe_job("processing-job", _processing),
    "StopProcessingJob": _stop_job("processing-job"),
    "ListTransformJobs": _list_jobs("transform-job", newest_first=True),
    "DescribeTransformJob": _describe_job("transform-job", _transform),
    "StopTransformJob": _stop_job("transform-job"),
}


def _role(place: Place) -> str:
    return f"arn:aws:iam::{place.account}:role/service-role/AmazonSageMaker-ExecutionRole"


def _instance(studio: Studio, place: Place, name: str) -> NotebookInstance:
    for instance in studio.notebook_instances:
        if instance.place == place and instance.name == name:
            return instance
    raise Refusal("ValidationException", "RecordNotFound")


def _endpoint(studio: Studio, place: Place, name: str) -> Endpoint:
    for endpoint in studio.endpoints:
        if endpoint.place == place and endpoint.name == name and not endpoint.is_gone(studio.now()):
            return endpoint
    arn = place.arn(f"endpoint/{name.lower()}")
    raise Refusal("ValidationException", f'Could not find endpoint "{arn}".')


def _job(studio: Studio, place: Place, kind: str, name: str) -> Job:
    for job in studio.jobs:
        if job.kind == kind and job.place == place and job.name == name:
            return job
    if kind == "training-job":
        raise Refusal("ValidationException", "Requested resource not found.")
    raise Refusal("ResourceNotFound", f"Could not find requested job with name: {name}")


def _instance_summary(instance: NotebookInstance, now: datetime) -> Answer:
    return {
        "NotebookInstanceName": instance.name,
        "NotebookInstanceArn": instance.arn,
        "NotebookInstanceStatus": instance.status(now),
        "Url": f"{instance.name.lower()}.notebook.{instance.place.region}.sagemaker.aws",
        "InstanceType": instance.instance_type,
        "CreationTime": instance.created_at,
        "LastModifiedTime": instance.modified_at,
    }


def _endpoint_summary(endpoint: Endpoint, now: datetime) -> Answer:
    return {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "CreationTime": endpoint.created_at,
        "LastModifiedTime": endpoint.modified_at,
        "EndpointStatus": endpoint.status(now),
    }


def _component(name: str, endpoint: Endpoint) -> Answer:
    return {
        "InferenceComponentName": name,
        "InferenceComponentArn": endpoint.place.arn(f"inference-component/{name.lower()}"),
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "VariantName": next(iter(endpoint.variants)),
        "CreationTime": endpoint.created_at,
        "LastModifiedTime": endpoint.created_at,
        "InferenceComponentStatus": "InService",
    }


def _variant(name: str, runs_on: tuple[str | None, int]) -> Answer:
    instance_type, count = runs_on
    if instance_type is None:
        serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
        return {"VariantName": name, "ModelName": "model", "ServerlessConfig": serverless}
    return {
        "VariantName": name,
        "ModelName": "model",
        "InstanceType": instance_type,
        "InitialInstanceCount": count,
        "InitialVariantWeight": 1.0,
    }


def _job_summary(job: Job, name: str, now: datetime) -> Answer:
    ended_at = job.ended_at(now)
    summary: Answer = {
        f"{name}Name": job.name,
        f"{name}Arn": job.arn,
        "CreationTime": job.created_at,
        f"{name}Status": job.status(now),
    }
    if job.kind == "training-job":
        summary["SecondaryStatus"] = {"InProgress": "Training"}.get(job.status(now), job.status(now))
    if ended_at is not None:
        summary[f"{name.removesuffix('Job')}EndTime"] = ended_at
    return summary

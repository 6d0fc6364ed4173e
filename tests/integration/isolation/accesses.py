"""What somebody could try on an agency: each is one call of the API, and is allowed or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from botocore.exceptions import ClientError

from tests.integration.isolation.agencies import Agency, Clients

Access = Callable[[Clients, Agency], object]

REFUSED = ("AccessDenied", "AccessDeniedException")
# Who gets to hear that something is not there has passed the check.
NOT_THERE = (
    "ImageNotFoundException",
    "InvalidParameterException",
    "LayersNotFoundException",
    "NoSuchKey",
    "NoSuchUpload",
    "ResourceNotFoundException",
    "StateMachineDoesNotExist",
    "ValidationError",
    "ValidationException",
)
KEPT = "capture/chat/a"
CHAT, DRAFT = "models/chat/0/model.tar.gz", "models/draft/0/files/a.gguf"


def put(key: str) -> Access:
    return lambda client, agency: client("s3").put_object(Bucket=agency.bucket, Key=key, Body=b"weights")


def get(key: str) -> Access:
    return lambda client, agency: client("s3").get_object(Bucket=agency.bucket, Key=key)


def delete(key: str) -> Access:
    return lambda client, agency: client("s3").delete_object(Bucket=agency.bucket, Key=key)


def keep(key: str) -> Access:
    return lambda client, agency: client("s3").put_object(Bucket=agency.data_bucket, Key=key, Body=b"asked")


def read_kept(client: Clients, agency: Agency) -> object:
    return client("s3").get_object(Bucket=agency.data_bucket, Key=KEPT)


def listed(**arguments: str) -> Access:
    return lambda client, agency: client("s3").list_objects_v2(Bucket=agency.bucket, **arguments)


def invoke(endpoint: str) -> Access:
    return lambda client, agency: client("sagemaker-runtime").invoke_endpoint(
        EndpointName=f"{agency.name}-{endpoint}", Body=b"{}"
    )


def start(machine: str) -> Access:
    return lambda client, agency: client("stepfunctions").start_execution(
        stateMachineArn=agency.machine(machine)
    )


def invoke_function(path: str) -> Access:
    return lambda client, agency: client("lambda").invoke(FunctionName=agency.functions[path])


def stream(client: Clients, agency: Agency) -> object:
    return client("sagemaker-runtime").invoke_endpoint_with_response_stream(
        EndpointName=f"{agency.name}-chat", Body=b"{}"
    )


def upload(client: Clients, agency: Agency) -> object:
    s3, where = client("s3"), {"Bucket": agency.bucket, "Key": CHAT}
    upload_id = s3.create_multipart_upload(**where)["UploadId"]
    s3.upload_part(**where, UploadId=upload_id, PartNumber=1, Body=b"weights")
    s3.list_parts(**where, UploadId=upload_id)
    return s3.abort_multipart_upload(**where, UploadId=upload_id)


ACCESSES: Mapping[str, Access] = {
    "list the bucket": listed(),
    "list chat": listed(Prefix="models/chat/"),
    "list draft": listed(Prefix="models/draft/0/"),
    "list the uploads": lambda client, agency: client("s3").list_multipart_uploads(Bucket=agency.bucket),
    "read chat": get(CHAT),
    "read draft": get(DRAFT),
    "write a model": put("models/chat/1/model.tar.gz"),
    "upload a model": upload,
    "delete a model": delete(CHAT),
    "read a note": get("work/a"),
    "write a note": put("work/b"),
    "delete a note": delete("work/a"),
    "write elsewhere": put("elsewhere"),
    "write beside": put("models-of-others/a"),
    "open the bucket": lambda client, agency: client("s3").delete_bucket_policy(Bucket=agency.bucket),
    "keep what chat was asked": keep("capture/chat/b"),
    "keep it as draft's": keep("capture/draft/b"),
    "read what chat was asked": read_kept,
    "decrypt": lambda client, agency: client("kms").decrypt(CiphertextBlob=agency.ciphertext),
    "make a data key": lambda client, agency: client("kms").generate_data_key(
        KeyId=agency.key_arn, KeySpec="AES_256"
    ),
    "encrypt a volume": lambda client, agency: client("kms").generate_data_key_without_plaintext(
        KeyId=agency.key_arn, KeySpec="AES_256"
    ),
    # An endpoint's role may make grants for services of AWS, never for itself.
    "grant the key": lambda client, agency: client("kms").create_grant(
        KeyId=agency.key_arn, GranteePrincipal="arn:aws:iam::123456789012:role/mine", Operations=["Decrypt"]
    ),
    "change the key's policy": lambda client, agency: client("kms").put_key_policy(
        KeyId=agency.key_arn, PolicyName="default", Policy="{}"
    ),
    "delete the key": lambda client, agency: client("kms").schedule_key_deletion(KeyId=agency.key_arn),
    "call chat": invoke("chat"),
    "call chat as a stream": stream,
    "call draft": invoke("draft"),
    "describe chat": lambda client, agency: client("sagemaker").describe_endpoint(
        EndpointName=f"{agency.name}-chat"
    ),
    "delete chat": lambda client, agency: client("sagemaker").delete_endpoint(
        EndpointName=f"{agency.name}-chat"
    ),
    "describe draft": lambda client, agency: client("sagemaker").describe_endpoint(
        EndpointName=f"{agency.name}-draft"
    ),
    "read the log of chat": lambda client, agency: client("logs").describe_log_streams(
        logGroupName=f"/aws/sagemaker/Endpoints/{agency.name}-chat"
    ),
    "start a repack": start("repack"),
    "start a watch": start("endpoints"),
    "invoke the repack": invoke_function("Repack/Function"),
    "invoke the watch": invoke_function("EndpointWatch/Function"),
    "start a build": lambda client, agency: client("codebuild").start_build(
        projectName=agency.names["Image-llamacpp/Build"]
    ),
    "list the images": lambda client, agency: client("ecr").describe_images(
        repositoryName=agency.names["Image-llamacpp"]
    ),
    "pull an image": lambda client, agency: client("ecr").batch_get_image(
        repositoryName=agency.names["Image-llamacpp"], imageIds=[{"imageTag": "none"}]
    ),
    "push an image": lambda client, agency: client("ecr").put_image(
        repositoryName=agency.names["Image-llamacpp"], imageManifest="{}", imageTag="mine"
    ),
}


def allowed(access: Access, clients: Clients, agency: Agency) -> bool:
    """Try it; an error that is neither a refusal nor of something that is not there is raised."""
    try:
        access(clients, agency)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in REFUSED + NOT_THERE:
            raise
        return code in NOT_THERE
    return True

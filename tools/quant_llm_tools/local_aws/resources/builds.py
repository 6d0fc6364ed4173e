"""Container repositories and the projects that build images for them."""

from __future__ import annotations

import json

from quant_llm_tools.local_aws.resources.request import Request


class EcrRepository:
    """AWS::ECR::Repository."""

    def create(self, request: Request) -> None:
        """Create the repository, then its policies."""
        name = request.name("RepositoryName", 256, lower=True)
        repository = request.call("ecr.create_repository", repositoryName=name)["repository"]
        request.identify(name)
        request.attributes = {
            "Arn": repository["repositoryArn"],
            "RepositoryUri": repository["repositoryUri"],
        }
        self._policies(request)
        request.properties.get("EmptyOnDelete")

    def update(self, request: Request) -> None:
        """Change what ECR lets change; name and encryption are replaced by CloudFormation."""
        name = request.physical_id
        if request.changed("ImageTagMutability"):
            mutability = request.properties.get("ImageTagMutability", "MUTABLE")
            request.call("ecr.put_image_tag_mutability", repositoryName=name, imageTagMutability=mutability)
        if request.changed("ImageScanningConfiguration"):
            scanning = request.properties.get("ImageScanningConfiguration", {"ScanOnPush": False})
            configuration = {"scanOnPush": str(scanning["ScanOnPush"]).lower() == "true"}
            request.send(
                request.client("ecr").put_image_scanning_configuration,
                repositoryName=name,
                imageScanningConfiguration=configuration,
            )
        if request.changed("Tags"):
            client, arn = request.client("ecr"), request.attributes["Arn"]
            request.send(
                client.untag_resource,
                resourceArn=arn,
                tagKeys=[tag["Key"] for tag in request.old.get("Tags", [])],
            )
            request.call("ecr.tag_resource", resourceArn=arn)
        self._policies(request)
        request.properties.get("EmptyOnDelete")

    def delete(self, request: Request) -> None:
        """Delete the repository; with images in it only if the template allows."""
        force = str(request.properties.get("EmptyOnDelete", False)).lower() == "true"
        request.send(request.client("ecr").delete_repository, repositoryName=request.physical_id, force=force)

    @staticmethod
    def _policies(request: Request) -> None:
        name, client = request.physical_id, request.client("ecr")
        if request.changed("LifecyclePolicy"):
            if "LifecyclePolicy" in request.properties:
                policy = request.properties["LifecyclePolicy"]["LifecyclePolicyText"]
                request.send(client.put_lifecycle_policy, repositoryName=name, lifecyclePolicyText=policy)
            else:
                request.send(client.delete_lifecycle_policy, repositoryName=name)
        if request.changed("RepositoryPolicyText"):
            if "RepositoryPolicyText" in request.properties:
                policy = json.dumps(request.properties["RepositoryPolicyText"])
                request.send(client.set_repository_policy, repositoryName=name, policyText=policy)
            else:
                request.send(client.delete_repository_policy, repositoryName=name)


class CodeBuildProject:
    """AWS::CodeBuild::Project."""

    def create(self, request: Request) -> None:
        """Create the project."""
        name = request.name("Name", 255)
        project = request.call("codebuild.create_project", name=name)["project"]
        request.identify(name)
        request.attributes = {"Arn": project["arn"]}

    def update(self, request: Request) -> None:
        """Change the project; what the template no longer says goes back to the default."""
        request.call("codebuild.update_project", replaces=True, name=request.physical_id)

    def delete(self, request: Request) -> None:
        """Delete the project."""
        request.send(request.client("codebuild").delete_project, name=request.physical_id)

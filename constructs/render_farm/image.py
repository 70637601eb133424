"""What runs in the container."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from aws_cdk import Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from constructs import Construct

if TYPE_CHECKING:
    from aws_cdk import aws_iam as iam

    from render_farm.settings import Settings

WORKER = Path(__file__).parents[2] / "render_worker"
"""The folder of the Dockerfile."""

_ECR_URI = re.compile(
    r"(?P<account>[0-9]{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/"
    r"(?P<name>[a-z0-9._/-]+)(@(?P<digest>sha256:[0-9a-f]{64})|:(?P<tag>[\w.-]+))?"
)


class Image(Construct):
    """The worker's image: built from `render_worker/` when the farm is deployed, or the ready one of the settings.

    The hosts are x86-64, so the image is built for them on whatever machine deploys. The execution role may pull the
    built image, and a ready one in a private ECR repository; other registries must be public.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        self.container: ecs.ContainerImage
        self._repository: ecr.IRepository | None = None
        uri = settings.image
        if uri is None:
            asset = ecr_assets.DockerImageAsset(
                self,
                "Worker",
                directory=str(WORKER),
                platform=ecr_assets.Platform.LINUX_AMD64,
                build_args=_build_args(settings),
            )
            self._repository = asset.repository
            self.container = ecs.ContainerImage.from_docker_image_asset(asset)
        elif private := _ECR_URI.fullmatch(uri):
            self._repository = ecr.Repository.from_repository_attributes(
                self,
                "Repository",
                repository_name=private["name"],
                repository_arn=Stack.of(self).format_arn(
                    service="ecr",
                    resource="repository",
                    resource_name=private["name"],
                    account=private["account"],
                    region=private["region"],
                ),
            )
            self.container = ecs.ContainerImage.from_ecr_repository(
                self._repository, private["digest"] or private["tag"]
            )
        else:
            self.container = ecs.ContainerImage.from_registry(uri)

    def grant_pull(self, grantee: iam.IGrantable) -> None:
        """Let it pull the image; one that is not in a private ECR repository needs no leave."""
        if self._repository is not None:
            self._repository.grant_pull(grantee)


def _build_args(settings: Settings) -> dict[str, str]:
    given = {
        "BLENDER_VERSION": settings.blender_version,
        "BLENDER_SHA256": settings.blender_sha256,
        "BLENDER_MIRROR": settings.blender_mirror,
    }
    return {name: value for name, value in given.items() if value is not None}

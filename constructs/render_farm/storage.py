"""Where input files and frames are kept."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_s3 as s3
from constructs import Construct

from render_farm import emptier

FORGET_UPLOADS_AFTER = Duration.days(7)
"""How long the parts of an upload that was never finished are kept and billed.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpu-abort-incomplete-mpu-lifecycle-config.html
"""


class Storage(Construct):
    """The source bucket, which the client fills, and the results bucket, which the worker fills.

    Both are private, encrypted with S3's own keys and speak TLS only. Input files go after `source_expiry_days`;
    frames and reports after `results_expiry_days`, or never when that is None. With the stack, both are emptied and
    deleted, but the results stay when `keep_results` is set.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        source_expiry_days: int,
        results_expiry_days: int | None,
        keep_results: bool,
    ) -> None:
        super().__init__(scope, construct_id)
        self.source = _bucket(self, "Source", prefixes=("files/", "runs/"), expiry_days=source_expiry_days, keep=False)
        self.results = _bucket(self, "Results", prefixes=("runs/",), expiry_days=results_expiry_days, keep=keep_results)
        emptier.bound(self)


def _bucket(
    scope: Construct, construct_id: str, *, prefixes: tuple[str, ...], expiry_days: int | None, keep: bool
) -> s3.Bucket:
    bucket = s3.Bucket(
        scope,
        construct_id,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        encryption=s3.BucketEncryption.S3_MANAGED,
        enforce_ssl=True,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        removal_policy=RemovalPolicy.RETAIN if keep else RemovalPolicy.DESTROY,
        auto_delete_objects=not keep,
        lifecycle_rules=[s3.LifecycleRule(abort_incomplete_multipart_upload_after=FORGET_UPLOADS_AFTER)],
    )
    if expiry_days is not None:
        for prefix in prefixes:
            bucket.add_lifecycle_rule(prefix=prefix, expiration=Duration.days(expiry_days))
    return bucket

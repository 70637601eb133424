"""One render farm."""

from aws_cdk import Aws, CfnOutput, Environment, Fn, Stack, Tags
from aws_cdk import aws_iam as iam
from constructs import Construct

from render_farm.budget import Budget
from render_farm.compute import Compute
from render_farm.guard import Guard
from render_farm.host_template import HostTemplate
from render_farm.image import Image
from render_farm.job import Job
from render_farm.logs import Logs
from render_farm.network import Network
from render_farm.queue import Queue
from render_farm.settings import Settings
from render_farm.storage import Storage
from render_worker import contract

COST_TAG = "render-farm"
"""The tag on everything that the farm holds; its value is the stack's name.

Activate it once to see each farm's cost on the bill:
https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/activating-tags.html
"""


class RenderFarm(Stack):
    """Everything that one farm holds. It costs nothing while nothing renders, but for the bytes stored."""

    def __init__(self, scope: Construct, *, settings: Settings) -> None:
        super().__init__(
            scope,
            settings.stack_name,
            env=Environment(account=settings.account, region=settings.region),
            description="Blender AWS Batch: a render farm at Spot prices",
        )
        Tags.of(self).add(COST_TAG, settings.stack_name)

        self.network = Network(self, "Network", availability_zones=settings.availability_zones)
        self.storage = Storage(
            self,
            "Storage",
            source_expiry_days=settings.source_expiry_days,
            results_expiry_days=settings.results_expiry_days,
            keep_results=settings.keep_results,
        )
        self.logs = Logs(self, "Logs", retention_days=settings.log_retention_days)
        self.image = Image(self, "Image", settings=settings)
        self.host = HostTemplate(self, "Host", disk_gib=settings.disk_gib, image=self.image, logs=self.logs)
        self.compute = Compute(self, "Compute", network=self.network, host=self.host, settings=settings)
        self.queue = Queue(self, "Queue", environments=self.compute.environments)
        self.job = Job(
            self,
            "Job",
            name=settings.stack_name,
            image=self.image,
            storage=self.storage,
            logs=self.logs,
            settings=settings,
        )
        self.guard = (
            None
            if settings.guard == "off"
            else Guard(self, "Guard", farm_tag=COST_TAG, queue=self.queue, compute=self.compute, settings=settings)
        )
        if settings.monthly_budget_usd is not None and settings.alarm_email is not None:
            Budget(
                self,
                "Budget",
                monthly_usd=settings.monthly_budget_usd,
                email=settings.alarm_email,
                farm_tag=COST_TAG,
                farm=settings.stack_name,
            )
        self._grant()
        self._tell(settings)
        self._link(settings)

    def _grant(self) -> None:
        """Let the worker read packages and manifests, add results, and see which frames are there; nothing else."""
        source, results = self.storage.source, self.storage.results
        runs = "runs/*"
        self.job.role.add_to_policy(
            iam.PolicyStatement(
                sid="ReadPackages",
                actions=["s3:GetObject"],
                resources=[
                    source.arn_for_objects(contract.file_key("*")),
                    source.arn_for_objects(contract.manifest_key("*")),
                ],
            )
        )
        self.job.role.add_to_policy(
            iam.PolicyStatement(sid="WriteResults", actions=["s3:PutObject"], resources=[results.arn_for_objects(runs)])
        )
        self.job.role.add_to_policy(
            iam.PolicyStatement(
                sid="SeeFinishedFrames",
                actions=["s3:ListBucket"],
                resources=[results.bucket_arn],
                conditions={"StringLike": {"s3:prefix": runs}},
            )
        )

    def _tell(self, settings: Settings) -> None:
        """Give what the client reads with `render configure`."""
        for key, value, description in (
            ("SourceBucket", self.storage.source.bucket_name, "Bucket of the input files and manifests"),
            ("ResultsBucket", self.storage.results.bucket_name, "Bucket of the frames and reports"),
            ("JobQueue", self.queue.queue.job_queue_arn, "AWS Batch job queue to submit to"),
            ("JobDefinition", self.job.name, "AWS Batch job definition to submit, without its revision"),
            ("LogGroup", self.logs.group.log_group_name, "CloudWatch log group of the worker"),
            ("Device", self.job.device, "What renders: gpu or cpu"),
            ("BlenderVersion", settings.blender_version, "Version of Blender that the farm was set up for"),
            ("ContractVersion", str(contract.CONTRACT_VERSION), "Version of the manifest that the worker reads"),
            ("SourceExpiryDays", str(settings.source_expiry_days), "Days for which input files are kept"),
            ("JobVcpus", str(settings.job_vcpus), "vCPUs of one job"),
            (
                "MaxVcpus",
                str(settings.max_vcpus * len(self.compute.environments)),
                "vCPUs that the whole farm has at most",
            ),
            (
                "ComputeEnvironments",
                Fn.join(",", [environment.compute_environment_arn for environment in self.compute.environments]),
                "AWS Batch compute environments, in the order in which they are filled",
            ),
        ):
            CfnOutput(self, key, value=value, description=description)
        if self.guard is not None:
            CfnOutput(
                self,
                "GuardTopic",
                value=self.guard.topic.topic_arn,
                description="SNS topic that the guard writes to; subscribe to hear of hosts that run without a job",
            )

    def _link(self, settings: Settings) -> None:
        """Give the console's pages that a person wants, in AWS's public regions."""
        console = f"https://{Aws.REGION}.console.aws.amazon.com"
        region = f"region={Aws.REGION}"
        queue, results = self.queue.queue.job_queue_arn, self.storage.results.bucket_name
        log = self.logs.group.log_group_name
        hosts = f"Instances:tag:{COST_TAG}={settings.stack_name};instanceState=running,pending"
        cost = "https://us-east-1.console.aws.amazon.com/costmanagement/home#/cost-explorer"
        for key, value, description in (
            ("JobsPage", f"{console}/batch/home?{region}#queues/detail/{queue}", "Jobs that wait and run"),
            ("HostsPage", f"{console}/ec2/home?{region}#{hosts}", "Hosts that run and are billed; empty at rest"),
            ("ResultsPage", f"{console}/s3/buckets/{results}?{region}&prefix=runs/", "Frames and reports"),
            ("LogPage", f"{console}/cloudwatch/home?{region}#logsV2:log-groups/log-group/{log}", "The worker's log"),
            ("CostPage", cost, f"What was spent; group by the tag {COST_TAG} once it is activated"),
        ):
            CfnOutput(self, key, value=value, description=description)

"""Where the hosts live: a network with a way out and none in."""

from aws_cdk import aws_ec2 as ec2
from constructs import Construct


class Network(Construct):
    """Public subnets in up to `availability_zones` zones, and a security group that lets nothing in.

    Hosts reach ECS, ECR and CloudWatch through the internet gateway, which costs nothing, and S3 through a gateway
    endpoint, which costs nothing either; a NAT gateway would be billed by the hour, renders or not.
    https://docs.aws.amazon.com/vpc/latest/privatelink/gateway-endpoints.html
    """

    def __init__(self, scope: Construct, construct_id: str, *, availability_zones: int) -> None:
        super().__init__(scope, construct_id)
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=availability_zones,
            nat_gateways=0,
            # A fixed mask, so that another zone does not move the subnets that are there: 4,091 hosts in each.
            subnet_configuration=[
                ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=20)
            ],
            gateway_endpoints={"S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3)},
            # Emptying the default group takes a Lambda function, and nothing here uses that group.
            restrict_default_security_group=False,
        )
        self.security_group = ec2.SecurityGroup(
            self, "Hosts", vpc=self.vpc, description="Render hosts: nothing in, everything out", allow_all_outbound=True
        )

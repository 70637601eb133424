"""The EC2 instance sizes that a farm may list, and what each gives to jobs."""

from __future__ import annotations

from dataclasses import dataclass

GPU_FAMILIES = {"g4dn": 4, "g5": 4, "g6": 4, "g6e": 8}
"""GiB of memory per vCPU of the GPU families that ECS_AL2023_NVIDIA serves (not p3 and g3) and that suit rendering.

https://aws.amazon.com/ec2/instance-types/#Accelerated_Computing
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-optimized_AMI.html
"""

CPU_FAMILIES = {
    **dict.fromkeys(("c5a", "c6a", "c6i", "c7a", "c7i"), 2),
    **dict.fromkeys(("m5", "m5a", "m6a", "m6i", "m7a", "m7i"), 4),
    **dict.fromkeys(("r5", "r5a", "r6a", "r6i", "r7a", "r7i"), 8),
}
"""GiB of memory per vCPU of the x86-64 families that a farm without GPUs may list.

https://aws.amazon.com/ec2/instance-types/
"""

VCPUS = {"xlarge": 4, "2xlarge": 8, "4xlarge": 16, "8xlarge": 32, "16xlarge": 64}
"""vCPUs by size name; in the GPU families above, the sizes with one GPU."""

GPU_DEFAULTS = tuple(f"{family}.{size}" for family in GPU_FAMILIES for size in ("xlarge", "2xlarge"))
CPU_DEFAULTS = tuple(f"{family}.{size}" for family in ("c6a", "c6i", "c7a", "c7i") for size in ("2xlarge", "4xlarge"))


@dataclass(frozen=True, kw_only=True)
class Host:
    """One instance size: its vCPUs and its memory in GiB as AWS advertises it."""

    vcpus: int
    memory_gib: int

    @property
    def job_memory_mib(self) -> int:
        """MiB that jobs can ask for: what the kernel and the ECS agent leave of a host, with some room.

        A job that asks for more than a host registers with ECS waits forever; this asks for 14,000 of 16,384 MiB.
        https://docs.aws.amazon.com/batch/latest/userguide/memory-management.html
        """
        return self.memory_gib * 875


def host(instance_type: str, *, gpu: bool) -> Host | None:
    """Look up an instance type such as `g5.xlarge`; None when it is no size of the farm's kind."""
    family, _, size = instance_type.partition(".")
    gib_per_vcpu = (GPU_FAMILIES if gpu else CPU_FAMILIES).get(family)
    vcpus = VCPUS.get(size)
    if gib_per_vcpu is None or vcpus is None:
        return None
    return Host(vcpus=vcpus, memory_gib=vcpus * gib_per_vcpu)

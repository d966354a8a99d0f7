"""Instance types, as DescribeInstanceTypes tells them, and what an hour of each cost in us-east-1 at some time.

The prices are there to be told and multiplied: they are no price list.
"""

from dataclasses import dataclass
from typing import Any

__all__ = ["TYPES", "InstanceType"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceType:
    """One instance type.

    Attributes:
        name: `g5.xlarge`.
        vcpus: How many.
        threads: A core.
        memory_gib: Its memory.
        gpus: How many.
        gpu: What they are called: `A10G`; empty: it has none.
        neuron: AWS' own accelerators: how many.
        store_gb: Instance store, in all.
        hibernation: Whether it can hibernate.
        architecture: `x86_64` or `arm64`.
        hourly: Dollars an hour, on demand, Linux; None: nobody says.
    """

    name: str
    vcpus: int
    threads: int = 2
    memory_gib: float = 8
    gpus: int = 0
    gpu: str = ""
    neuron: int = 0
    store_gb: int = 0
    hibernation: bool = True
    architecture: str = "x86_64"
    hourly: float | None = None

    @property
    def cores(self) -> int:
        """How many cores it has."""
        return max(1, self.vcpus // self.threads)

    def described(self) -> dict[str, Any]:
        """Describe it as DescribeInstanceTypes does."""
        answer: dict[str, Any] = {
            "InstanceType": self.name,
            "CurrentGeneration": True,
            "FreeTierEligible": self.name == "t3.micro",
            "SupportedUsageClasses": ["on-demand", "spot"],
            "SupportedRootDeviceTypes": ["ebs"],
            "SupportedVirtualizationTypes": ["hvm"],
            "BareMetal": self.name.endswith(".metal"),
            "Hypervisor": "nitro",
            "ProcessorInfo": {"SupportedArchitectures": [self.architecture], "SustainedClockSpeedInGhz": 3.1},
            "VCpuInfo": {
                "DefaultVCpus": self.vcpus,
                "DefaultCores": self.cores,
                "DefaultThreadsPerCore": self.threads,
            },
            "MemoryInfo": {"SizeInMiB": int(self.memory_gib * 1024)},
            "InstanceStorageSupported": self.store_gb > 0,
            "HibernationSupported": self.hibernation,
            "BurstablePerformanceSupported": self.name.startswith(("t2", "t3", "t4g")),
            "DedicatedHostsSupported": True,
            "AutoRecoverySupported": self.store_gb == 0,
        }
        if self.store_gb:
            disk = {"SizeInGB": self.store_gb, "Count": 1, "Type": "ssd"}
            answer["InstanceStorageInfo"] = {
                "TotalSizeInGB": self.store_gb,
                "Disks": [disk],
                "NvmeSupport": "required",
                "EncryptionSupport": "required",
            }
        if self.gpus:
            name, memory = _GPUS[self.gpu]
            maker = "AMD" if self.gpu.startswith("Radeon") else "NVIDIA"
            gpu = {
                "Name": name,
                "Manufacturer": maker,
                "Count": self.gpus,
                "MemoryInfo": {"SizeInMiB": memory},
            }
            answer["GpuInfo"] = {"Gpus": [gpu], "TotalGpuMemoryInMiB": self.gpus * memory}
        if self.neuron:
            answer["NeuronInfo"] = {
                "NeuronDevices": [
                    {
                        "Count": self.neuron,
                        "Name": "Trainium" if self.name.startswith("trn") else "Inferentia2",
                        "CoreInfo": {"Count": 2, "Version": 2},
                        "MemoryInfo": {"SizeInMiB": 32_768},
                    }
                ],
                "TotalNeuronDeviceMemoryInMiB": 32_768 * self.neuron,
            }
        return answer


_GPUS = {
    "T4": ("T4", 16_384),
    "A10G": ("A10G", 22_888),
    "L4": ("L4", 22_888),
    "L40S": ("L40S", 45_776),
    "V100": ("V100", 16_384),
    "A100": ("A100", 40_960),
    "H100": ("H100", 81_920),
    "Radeon": ("Radeon Pro V520", 8192),
}


def _gpu(
    name: str, vcpus: int, memory: float, gpus: int, gpu: str, store_gb: int, hourly: float
) -> InstanceType:
    return InstanceType(
        name=name,
        vcpus=vcpus,
        memory_gib=memory,
        gpus=gpus,
        gpu=gpu,
        store_gb=store_gb,
        hibernation=False,
        hourly=hourly,
    )


def _arm(name: str, vcpus: int, memory: float, hourly: float) -> InstanceType:
    return InstanceType(
        name=name, vcpus=vcpus, memory_gib=memory, threads=1, architecture="arm64", hourly=hourly
    )


TYPES: dict[str, InstanceType] = {
    one.name: one
    for one in (
        InstanceType(name="t3.micro", vcpus=2, memory_gib=1, hourly=0.0104),
        InstanceType(name="t3.medium", vcpus=2, memory_gib=4, hourly=0.0416),
        InstanceType(name="t3.large", vcpus=2, memory_gib=8, hourly=0.0832),
        InstanceType(name="m5.large", vcpus=2, memory_gib=8, hourly=0.096),
        InstanceType(name="m5.xlarge", vcpus=4, memory_gib=16, hourly=0.192),
        InstanceType(name="m5d.large", vcpus=2, memory_gib=8, store_gb=75, hourly=0.113),
        InstanceType(name="m6i.large", vcpus=2, memory_gib=8, hourly=0.096),
        InstanceType(name="m6i.2xlarge", vcpus=8, memory_gib=32, hourly=0.384),
        InstanceType(name="c5.large", vcpus=2, memory_gib=4, hourly=0.085),
        InstanceType(name="c6i.4xlarge", vcpus=16, memory_gib=32, hourly=0.68),
        InstanceType(
            name="c7a.48xlarge", vcpus=192, threads=1, memory_gib=384, hibernation=False, hourly=9.85344
        ),
        InstanceType(name="r5.2xlarge", vcpus=8, memory_gib=64, hourly=0.504),
        InstanceType(name="i3.large", vcpus=2, memory_gib=15.25, store_gb=475, hourly=0.156),
        _arm("m7g.large", 2, 8, 0.0816),
        _arm("c7g.xlarge", 4, 8, 0.145),
        _gpu("g4dn.xlarge", 4, 16, 1, "T4", 125, 0.526),
        _gpu("g4dn.12xlarge", 48, 192, 4, "T4", 900, 3.912),
        _gpu("g4ad.xlarge", 4, 16, 1, "Radeon", 150, 0.37853),
        _gpu("g5.xlarge", 4, 16, 1, "A10G", 250, 1.006),
        _gpu("g5.2xlarge", 8, 32, 1, "A10G", 450, 1.212),
        _gpu("g5.12xlarge", 48, 192, 4, "A10G", 3800, 5.672),
        _gpu("g6.xlarge", 4, 16, 1, "L4", 250, 0.8048),
        _gpu("g6e.xlarge", 4, 32, 1, "L40S", 250, 1.861),
        _gpu("p3.2xlarge", 8, 61, 1, "V100", 0, 3.06),
        _gpu("p3.8xlarge", 32, 244, 4, "V100", 0, 12.24),
        _gpu("p4d.24xlarge", 96, 1152, 8, "A100", 8000, 32.7726),
        _gpu("p5.48xlarge", 192, 2048, 8, "H100", 30_400, 98.32),
        InstanceType(name="trn1.2xlarge", vcpus=8, memory_gib=32, neuron=1, store_gb=474, hibernation=False),
        InstanceType(name="inf2.xlarge", vcpus=4, memory_gib=16, neuron=1, hibernation=False, hourly=0.7582),
    )
}
"""What the fake knows, by name. `trn1.2xlarge` has no price: there are things that nobody says."""

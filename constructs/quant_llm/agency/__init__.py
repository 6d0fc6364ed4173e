"""Agency files and their locks: what a person edits, what `quantllm lock` resolved, and what synth reads."""

from quant_llm.agency.config import (
    AUTO,
    DEFAULT_P90_LATENCY_SECONDS,
    RESERVED_ENVIRONMENT,
    RESERVED_ENVIRONMENT_PREFIX,
    AgencyConfig,
    AlarmsConfig,
    Artifact,
    BudgetConfig,
    Deployment,
    DeploymentEnvironment,
    Engine,
    ModelConfig,
    NetworkConfig,
    ScalingConfig,
    ScheduleConfig,
    SourceConfig,
)
from quant_llm.agency.document import display_name
from quant_llm.agency.files import (
    AgencyFile,
    check_together,
    find_agency_files,
    load_agency,
    load_supported_agency,
    read_agency,
)
from quant_llm.agency.lock import AgencyLock, LockedFile, LockedSource, ModelLock, ModelShape
from quant_llm.agency.locked import current_locks, lock_path, locked, locked_source
from quant_llm.agency.problems import AgencyFileError, Location, Problem
from quant_llm.agency.schema import json_schema
from quant_llm.agency.unsupported import unsupported

__all__ = [
    "AUTO",
    "DEFAULT_P90_LATENCY_SECONDS",
    "RESERVED_ENVIRONMENT",
    "RESERVED_ENVIRONMENT_PREFIX",
    "AgencyConfig",
    "AgencyFile",
    "AgencyFileError",
    "AgencyLock",
    "AlarmsConfig",
    "Artifact",
    "BudgetConfig",
    "Deployment",
    "DeploymentEnvironment",
    "Engine",
    "Location",
    "LockedFile",
    "LockedSource",
    "ModelConfig",
    "ModelLock",
    "ModelShape",
    "NetworkConfig",
    "Problem",
    "ScalingConfig",
    "ScheduleConfig",
    "SourceConfig",
    "check_together",
    "current_locks",
    "display_name",
    "find_agency_files",
    "json_schema",
    "load_agency",
    "load_supported_agency",
    "lock_path",
    "locked",
    "locked_source",
    "read_agency",
    "unsupported",
]

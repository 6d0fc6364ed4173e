"""GPU instance types, what they cost, and which of them can serve a model: all of it offline, from facts."""

from quant_llm.catalogue.choose import Choice, by_likely_price, by_price, choose, choose_from
from quant_llm.catalogue.engine_images import EcrImage, is_published, published_image
from quant_llm.catalogue.engine_needs import AMIS, NEEDS, Ami, EngineNeeds, ami_for
from quant_llm.catalogue.fit import Fit, Reason, assess, assess_type
from quant_llm.catalogue.formats import engines_of
from quant_llm.catalogue.kv_cache import kv_cache_bytes
from quant_llm.catalogue.placement import Placement, check, choices, described, explained, place
from quant_llm.catalogue.prices import (
    HOURS_A_MONTH,
    PRICE_LIST,
    Basis,
    Price,
    PriceList,
    load_price_list,
    usd_per_hour,
)
from quant_llm.catalogue.schema import Catalogue, InstanceType, Source, load_catalogue
from quant_llm.catalogue.sizing import (
    GB,
    GIB,
    MEMORY_SHARE,
    MIB,
    TIMEOUT_BOUNDS,
    MemoryNeed,
    decode_limit,
    disk_bytes,
    disk_gb,
    download_seconds,
    longest_context,
    memory_needed,
    startup_seconds,
    usable_bytes,
    volume_gb,
)
from quant_llm.catalogue.workload import Workload, most_instances

__all__ = [
    "AMIS",
    "GB",
    "GIB",
    "HOURS_A_MONTH",
    "MEMORY_SHARE",
    "MIB",
    "NEEDS",
    "PRICE_LIST",
    "TIMEOUT_BOUNDS",
    "Ami",
    "Basis",
    "Catalogue",
    "Choice",
    "EcrImage",
    "EngineNeeds",
    "Fit",
    "InstanceType",
    "MemoryNeed",
    "Placement",
    "Price",
    "PriceList",
    "Reason",
    "Source",
    "Workload",
    "ami_for",
    "assess",
    "assess_type",
    "by_likely_price",
    "by_price",
    "check",
    "choices",
    "choose",
    "choose_from",
    "decode_limit",
    "described",
    "disk_bytes",
    "disk_gb",
    "download_seconds",
    "engines_of",
    "explained",
    "is_published",
    "kv_cache_bytes",
    "load_catalogue",
    "load_price_list",
    "longest_context",
    "memory_needed",
    "most_instances",
    "place",
    "published_image",
    "startup_seconds",
    "usable_bytes",
    "usd_per_hour",
    "volume_gb",
]

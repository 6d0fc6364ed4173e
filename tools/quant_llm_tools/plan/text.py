"""The plan for people: a table for each quantisation, in at most 80 columns, the same with and without a TTY.

Q4_K_M  4.4 GB, 4.83 bits a weight, 7.24 B parameters, llama.cpp  *Q4_K_M.gguf
 type           GPUs   GPU memory, GiB        tok/s   $/h     $/month
>ml.g5.xlarge   1 A10G [######....] 13.1/21.7  <137 1.408 1,028-4,111
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from quant_llm.agency import AUTO
from quant_llm.catalogue import GIB, HOURS_A_MONTH
from quant_llm_tools.plan.advice import nominal_bits
from quant_llm_tools.plan.document import ModelPlan, Plan, PricePlan, QuantizationPlan, TypePlan
from quant_llm_tools.plan.measured import SHARE_REACHED

WIDTH = 80

_LONGEST_BAR, _SHORTEST_BAR = 10, 4
_HEAD = (" type", "GPUs", "GPU memory, GiB", "tok/s", "$/h", "$/month")
_RIGHT = (False, False, False, True, True, True)
_UNKNOWN = "unknown"

LEGEND = (
    "GiB: needed/usable, of the GPU that holds the most. tok/s: an estimate, the most that memory bandwidth "
    f"allows one request; measured were {SHARE_REACHED}. $: of one instance on demand; ~ an estimate, "
    "`quantllm prices` says of what; where one is "
    "unknown, that of us-east-1 decides the order. "
    f"A month has {HOURS_A_MONTH} hours, at the least and the most instances."
)


def text(plan: Plan, most_types: int | None) -> str:
    """The whole text; `most_types` bounds the fitting types that are shown, None shows all types."""
    blocks = [line for model in plan.models for line in _model(model, most_types)]
    return "\n".join([*blocks, *_wrapped(LEGEND, "")])


def _model(model: ModelPlan, most_types: int | None) -> Iterator[str]:
    # A repository that was asked for is its own name.
    at = f"{model.repository} at {model.commit[:12]}"
    yield from _wrapped(at if model.name == model.repository else f"{model.name} ({at})", "")
    instances = (
        f"{model.least_instances}"
        if model.least_instances == model.most_instances
        else f"{model.least_instances} to {model.most_instances}"
    )
    yield from _wrapped(
        f"{model.region}; {model.context_length:,} tokens x {model.concurrency} at a time; "
        f"instances: {instances}",
        "  ",
    )
    if model.asked:
        yield f"  instance_type: {model.asked}, marked with >"
    for one in model.quantizations:
        yield ""
        yield from _quantization(model, one, most_types)
    for left_out in model.left_out:
        yield ""
        yield from _wrapped(f"left out: {left_out.name}: {left_out.reason}", "")
    yield ""
    yield from _advice(model)
    yield ""


def _quantization(model: ModelPlan, one: QuantizationPlan, most_types: int | None) -> Iterator[str]:
    size = (
        f"{one.weight_bytes / 1e9:.1f} GB" if one.weight_bytes >= 1e9 else f"{one.weight_bytes / 1e6:.0f} MB"
    )
    head = (
        f"{one.quantization}  {size}, {one.bits_per_weight:.2f} bits a weight, "
        f"{one.parameters / 1e9:.3g} B parameters, {one.engine}"
    )
    yield from _wrapped(head + (f"  {one.place}" if one.place else ""), "")
    for note in one.notes:
        yield from _wrapped(f"note: {note}", "  ")
    asked = one.auto if model.asked == AUTO else model.asked
    shown = _shown(asked, one.types, most_types)
    if shown:
        yield from _table(asked, shown, reasons=most_types is None)
    yield from _rates(shown)
    if not one.types[0].fits:
        yield from _wrapped(f"nothing fits in {model.region}{_shorter(one)}", "  ")
    if most_types is not None:
        yield from _rest(one.types, shown)


def _shown(asked: str | None, types: Sequence[TypePlan], most_types: int | None) -> list[TypePlan]:
    """What is listed: the cheapest that fit, and the type that the agency file asks for in any case."""
    if most_types is None:
        return list(types)
    fitting = [one for one in types if one.fits][:most_types]
    return [one for one in types if one in fitting or one.instance_type == asked]


def _shorter(one: QuantizationPlan) -> str:
    shorter = one.shorter_context
    if shorter is None:
        return ""
    return f"; with {shorter.context_length:,} tokens a request {shorter.instance_type} would do"


def _rest(types: Sequence[TypePlan], shown: Sequence[TypePlan]) -> Iterator[str]:
    """How many more there are, and which don't fit for what reason, in short."""
    more = sum(one.fits for one in types) - sum(one.fits for one in shown)
    against: dict[str, list[str]] = {}
    for one in types:
        if not one.fits:
            codes = " and ".join(dict.fromkeys(reason.code for reason in one.reasons))
            against.setdefault(codes, []).append(one.instance_type)
    for codes, names in against.items():
        yield from _wrapped(f"no, {codes}: {', '.join(names)}", "  ")
    if more or against:
        also = f"{more} more that fit{'s' if more == 1 else ''}" if more else ""
        why = "why the others don't" if against else ""
        yield from _wrapped(f"--all shows {' and '.join(filter(None, (also, why)))}", "  ")


def _rates(shown: Sequence[TypePlan]) -> Iterator[str]:
    for one in shown:
        if one.measured:
            least, most = one.measured.tokens_per_s_least, one.measured.tokens_per_s_most
            rate = f"{least:g}" if least == most else f"{least:g} to {most:g}"
            yield from _wrapped(
                f"{one.instance_type}: {rate} tok/s were measured with {one.measured.model} "
                f"({one.measured.source})",
                "  ",
            )


def _table(asked: str | None, shown: Sequence[TypePlan], *, reasons: bool) -> Iterator[str]:
    for bar in range(_LONGEST_BAR, _SHORTEST_BAR - 1, -1):
        rows = [_cells(asked, one, bar) for one in shown]
        widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
        if sum(widths) + len(widths) - 1 <= WIDTH:
            break
    yield _line(_HEAD, widths)
    for one, cells in zip(shown, rows, strict=True):
        yield _line(cells, widths)
        if reasons or one.instance_type == asked:
            for reason in one.reasons:
                yield from _wrapped(f"no: expected {reason.expected}", "   ")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = (
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, _RIGHT, strict=True)
    )
    return " ".join(aligned).rstrip()


def _cells(asked: str | None, one: TypePlan, bar: int) -> tuple[str, ...]:
    mark = ">" if one.instance_type == asked else " "
    limit = one.tokens_per_s_limit
    return (
        f"{mark}{one.instance_type}",
        f"{one.gpu_count} {_short(one.gpu_model)}",
        _memory(one, bar),
        _UNKNOWN if limit is None else f"<{limit:,.0f}" if limit >= 10 else f"<{limit:.1f}",
        _UNKNOWN if one.price is None else f"{_mark(one.price)}{_hourly(one.price.usd_per_hour)}",
        _UNKNOWN if one.price is None else f"{_mark(one.price)}{_monthly(one.price)}",
    )


def _short(gpu_model: str) -> str:
    """`RTX PRO 6000` of `NVIDIA RTX PRO 6000 Blackwell Server Edition`; memory has a column of its own."""
    words = gpu_model.removeprefix("NVIDIA ").removesuffix(" Blackwell Server Edition").split()
    return " ".join(word for word in words if not word.endswith("GB"))


def _memory(one: TypePlan, length: int) -> str:
    need, usable = one.memory.total, one.memory.usable
    if usable is None:
        return f"[{'?' * length}] {_gib(need)}/?"
    filled = min(length, max(1, round(length * need / usable)))
    bar = "!" * length if need > usable else "#" * filled + "." * (length - filled)
    return f"[{bar}] {_gib(need)}/{_gib(usable)}"


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}" if size < 100 * GIB else f"{size / GIB:.0f}"


def _mark(price: PricePlan) -> str:
    return "~" if price.basis == "estimate" else ""


def _hourly(usd: float) -> str:
    return f"{usd:.3f}" if usd < 10 else f"{usd:.2f}"


def _monthly(price: PricePlan) -> str:
    least, most = price.usd_per_month_at_min, price.usd_per_month_at_max
    return _usd(most) if least == most else f"{_usd(least)}-{_usd(most)}"


def _usd(amount: float) -> str:
    """`1,028`, `46.2k`, `185k`."""
    if amount < 10_000:
        return f"{amount:,.0f}"
    return f"{amount / 1000:,.1f}k" if amount < 100_000 else f"{amount / 1000:,.0f}k"


def _advice(model: ModelPlan) -> Iterator[str]:
    advice = model.advice
    without, some = advice.bits_without_loss, advice.bits_with_2_to_3_percent_loss
    sentence = f"Bits a weight: {without} without loss{_having(model, without)}"
    if some is not None:
        sentence += f"; {some} where 2 to 3 % loss will do{_having(model, some)}"
    yield from _wrapped(f"{sentence}. {advice.because[0].upper()}{advice.because[1:]}.", "")
    yield from _wrapped(f"Source: {advice.source}", "")
    if model.asked:
        yield "Other quantisations of that repository:"
        # A commit has those that were there then, and fills the line.
        branch = "" if model.revision in ("main", model.commit) else f"@{model.revision}"
        yield f"  quantllm plan {model.repository}{branch}"


def _having(model: ModelPlan, bits: int) -> str:
    """The quantisations that have at least so many bits and less than the next step, by name."""
    names = dict.fromkeys(
        one.quantization
        for one in model.quantizations
        if bits <= (nominal_bits(one.quantization) or 0) < (2 * bits if bits > 3 else 4)
    )
    return f" (here {', '.join(names)})" if names else ""


def _wrapped(line: str, indent: str) -> list[str]:
    return textwrap.wrap(
        line,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
    )

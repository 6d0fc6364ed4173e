"""LoRA adapters that callers choose by name: the request's field `model`, as with vLLM.

llama.cpp loads adapters when it starts and takes a scale for each with a request, by number. What a request
does not say is as the engine was started, so every request says all of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quant_llm_serving.routes import BadRequest

_OWN_FIELD = "lora"


@dataclass(frozen=True)
class Adapters:
    """The adapters' `names` in the engine's order, and the names of the model without any (`base`)."""

    names: tuple[str, ...]
    base: tuple[str, ...]

    def applied(self, body: bytes, fields: Mapping[str, Any], required: str | None = None) -> bytes:
        """The request with the scales of what its `model` names: no adapter where it names none.

        `required` wins over `model`, and must be an adapter. `body` is an object with at least one field, of
        which `fields` are the values; of two equal names the last counts. Raises BadRequest.
        """
        if fields.get(_OWN_FIELD) is not None:
            raise BadRequest(
                f"'{_OWN_FIELD}' can't be given: this endpoint's adapters are chosen by 'model', "
                f"expected one of {self._known}",
                field=_OWN_FIELD,
            )
        if required is None:
            chosen = self._chosen(fields.get("model"))
        else:
            chosen = self._named(required, "adapter", ", ".join(self.names))
        scales = [{"id": number, "scale": float(name == chosen)} for number, name in enumerate(self.names)]
        return body.rstrip()[:-1] + f', "{_OWN_FIELD}": {json.dumps(scales)}}}'.encode()

    def listed(self, models: bytes) -> bytes:
        """The engine's answer to /v1/models with an entry for each adapter behind the model's own."""
        answer = json.loads(models)
        entries = answer.setdefault("data", [])
        like = {"object": "model", **(entries[0] if entries else {})}
        entries.extend(
            {**{name: like[name] for name in ("object", "created", "owned_by") if name in like}, **own}
            for own in ({"id": name, "parent": self.base[0]} for name in self.names)
        )
        return json.dumps(answer).encode()

    @property
    def _known(self) -> str:
        return ", ".join((*self.base, *self.names))

    def _chosen(self, model: object) -> str | None:
        if model is None or model in self.base:
            return None
        if not isinstance(model, str):
            raise BadRequest(f"'model' must be a string, one of {self._known}", field="model")
        # Any name would do for a model alone; here it may be a misspelt adapter's.
        return self._named(model, "model", self._known)

    def _named(self, name: str, field: str, expected: str) -> str:
        if name not in self.names:
            raise BadRequest(
                f"'{field}' names nothing that this endpoint serves, expected one of {expected}",
                field=field,
                status=404,
            )
        return name

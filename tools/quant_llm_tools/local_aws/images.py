"""The images of the embedded AWS: build contexts on disk, under the names that the registry gives them."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path

_MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class LocalImage:
    """What stands for a container image: `uri` is `<repository>:<tag>`, `context` the build context."""

    uri: str
    digest: str
    context: Path


_images: dict[str, LocalImage] = {}
_lock = threading.Lock()


def register(repository_uri: str, tag: str, context: Path) -> LocalImage:
    """Make a build context known as `repository_uri:tag`; its digest is that of `manifest(context)`."""
    digest = "sha256:" + hashlib.sha256(manifest(context).encode()).hexdigest()
    image = LocalImage(f"{repository_uri}:{tag}", digest, context)
    with _lock:
        _images[image.uri] = image
        _images[f"{repository_uri}@{digest}"] = image
    return image


def resolve(image_uri: str) -> LocalImage | None:
    """The image of a URI with `:tag` or `@sha256:…`; None when no build made it."""
    with _lock:
        return _images.get(image_uri)


def forget_all() -> None:
    """Drop every image; the contexts on disk are their owner's to remove."""
    with _lock:
        _images.clear()


def manifest(context: Path) -> str:
    """An image manifest whose one layer is the hash of the context's paths and bytes."""
    content = hashlib.sha256()
    size = 0
    for path in sorted(path for path in context.rglob("*") if path.is_file()):
        data = path.read_bytes()
        content.update(f"{path.relative_to(context).as_posix()}\0{len(data)}\0".encode() + data)
        size += len(data)
    layer = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": size}
    layer["digest"] = f"sha256:{content.hexdigest()}"
    configuration = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": size}
    configuration["digest"] = layer["digest"]
    return json.dumps(
        {"schemaVersion": 2, "mediaType": _MEDIA_TYPE, "config": configuration, "layers": [layer]}
    )

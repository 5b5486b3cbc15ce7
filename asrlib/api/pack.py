"""What a packed model holds, from the folder of an experiment."""

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from asrlib.api.load import SEARCH, beam_of
from asrlib.api.networks import FILES, framework_of
from asrlib.api.package import without_places, write_package
from asrlib.config.base import dump_config, read_yaml
from asrlib.config.ctc import TrainConfig
from asrlib.config.families import load_experiment_config
from asrlib.report.provenance import provenance
from asrlib.utils.errors import UserError

NOTE = """The code that made and runs this model is licensed under Apache 2.0. The model itself was trained on the corpus that RESULTS.md or
provenance.json names; the licences of that corpus and of a pretrained model that it started from apply to it.
"""


def pack(
    exp_dir: Path, out: Path, framework: str | None = None, mode: str = "greedy", lm: Path | None = None, joint: dict[str, Any] | None = None,
    licence: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Packs the model of an experiment; the facts of its manifest.

    framework: as of asrlib.load, with None the first that is there; mode: what a loaded model does if it is not told; lm: the n-gram model of the
    beam, None: that of EXP/beam.yaml; joint: settings of the joint search. UserError: as framework_of; a joint search with a neural language model.
    """
    if not exp_dir.is_dir():
        raise UserError(f"{exp_dir}: no such experiment")
    with TemporaryDirectory(prefix="asrlib-") as folder:
        if (exp_dir / "inference").is_dir():
            facts, files = {"kind": "espnet", "framework": "espnet"}, _finetuned(exp_dir, Path(folder))
        else:
            config = load_experiment_config(exp_dir / "config.yaml")
            facts, files = _trained(exp_dir, config, framework)
        if facts["kind"] != "upstream":
            files |= _search(exp_dir, mode, lm, joint or {})
        files |= _about(exp_dir, licence)
        write_package(out, facts, files)
    return facts


def _trained(exp_dir: Path, config: Any, framework: str | None) -> tuple[dict[str, str], dict[str, Path | bytes]]:
    """A model trained from scratch, or a pretrained one."""
    found = framework_of(exp_dir, framework)
    kind = "ctc" if isinstance(config, TrainConfig) else "upstream"
    files: dict[str, Path | bytes] = {FILES[found]: exp_dir / FILES[found]}
    if isinstance(config, TrainConfig):
        config.augment.noise_dir = ""  # a folder of this machine
        files |= {name: exp_dir / name for name in ("tokens.txt", "tokens.model") if (exp_dir / name).is_file()}
    files["config.yaml"] = dump_config(config).encode()
    return {"kind": kind, "framework": found}, files


def _finetuned(exp_dir: Path, folder: Path) -> dict[str, Path | bytes]:
    """A model fine-tuned in ESPnet; its weights, converted, in `folder`."""
    from asrlib.pt.asr_model import read_state
    from asrlib.pt.portable import UPSTREAM, for_inference, write_description
    from asrlib.pt.recogniser import INFERENCE, model_files
    from asrlib.utils.arrays import save_arrays
    from asrlib.utils.files import file_near

    config, weights = model_files(exp_dir)
    values, place = read_yaml(config), config.parent
    if values.get("frontend") == "s3prl" and not (place / UPSTREAM).is_file():  # fine-tuned before such files were written
        name = str(values["frontend_conf"]["frontend_conf"].get("path_or_url") or "")
        if source := file_near(name, place):
            place = folder
            write_description(source, folder)
    values = for_inference(values, place)
    arrays = {name: tensor.numpy() for name, tensor in read_state(weights).items()}
    save_arrays(folder / "model.safetensors", arrays)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)
    files: dict[str, Path | bytes] = {f"{INFERENCE}/config.yaml": text.encode(), f"{INFERENCE}/model.safetensors": folder / "model.safetensors"}
    return files | ({f"{INFERENCE}/{UPSTREAM}": place / UPSTREAM} if (place / UPSTREAM).is_file() else {})


def _search(exp_dir: Path, mode: str, lm: Path | None, joint: dict[str, Any]) -> dict[str, Path | bytes]:
    """Settings of the searches, with the language model and the lexicon in lm/."""
    if joint.get("lm_model"):
        raise UserError("a model whose joint search has a neural language model (lm_model) cannot be packed: leave it out")
    beam = asdict(beam_of(exp_dir))
    beam |= {"lm": str(lm)} if lm else {}
    files: dict[str, Path | bytes] = {}
    for key in ("lm", "lexicon"):
        if beam[key]:
            path = Path(beam[key])
            if not path.is_file():
                raise UserError(f"{path}: no such language model")
            beam[key] = f"lm/{path.name}"
            files[beam[key]] = path
    text = yaml.safe_dump({"mode": mode, "beam": beam, "joint": joint}, sort_keys=False, allow_unicode=True)
    return files | {SEARCH: text.encode()}


def _about(exp_dir: Path, licence: str) -> dict[str, Path | bytes]:
    """Results, where they come from, licences: texts without the places of this machine."""
    facts = {key: without_places(value) for key, value in provenance(exp_dir).items()}
    files: dict[str, Path | bytes] = {"provenance.json": json.dumps(facts, indent=1).encode(), "LICENCE.txt": (licence or NOTE).encode()}
    if (exp_dir / "RESULTS.md").is_file():
        files["RESULTS.md"] = without_places((exp_dir / "RESULTS.md").read_text(encoding="utf-8")).encode()
    return files

"""The shipped configurations against conf/published.csv, the published values; what differs on purpose says so in its file."""

import csv
import dataclasses
import re

import pytest
import yaml

from asrlib.config.families import load_experiment_config

OURS = {  # keys without a published counterpart
    "model", "batch.buckets", "batch.published", "batch.sorta_grad", "trainer.log_interval", "trainer.valid_interval", "trainer.keep_updates",
    "augment.time_mask_ratio", "augment.gain_min", "augment.gain_max", "loss.speaker_weight", "model_conf.extract_feats_in_collect_stats",
}  # fmt: skip
OURS_OF_CTC = {  # of conf/asr_wav2vec2_ctc*.yaml: as in pretraining, and what makes ESPnet train CTC alone
    "num_workers", "fold_length", "num_att_plot", "init", "unused_parameters", "frontend", "frontend_conf.multilayer_feature", "freeze_param",
    "frontend_conf.dropout", "frontend_conf.attention_dropout", "frontend_conf.activation_dropout", "frontend_conf.dropout_input",
    "frontend_conf.layerdrop", "frontend_conf.mask_prob", "frontend_conf.mask_length", "encoder", "encoder_conf.num_blocks",
    "encoder_conf.input_layer", "decoder", "scheduler",
}  # fmt: skip
ESPNET_DEFAULTS = {"encoder_conf.macaron_style": False}


def flat(values: dict, prefix: str = "") -> dict:
    """Nested keys as section.key; tuples as lists."""
    found = {}
    for key, value in values.items():
        inner = flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": list(value) if isinstance(value, tuple) else value}
        found |= inner
    return found


@pytest.fixture(scope="module")
def table(root):
    """File name -> rows."""
    rows = list(csv.DictReader((root / "conf/published.csv").open(encoding="utf-8")))
    return {name: [row for row in rows if row["file"] == name] for name in dict.fromkeys(row["file"] for row in rows)}


@pytest.fixture(scope="module")
def files(root):
    """File name -> its text."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((root / "conf").glob("*.yaml"))}


def resolved(root, name: str) -> dict:
    """All keys of a configuration with their values."""
    if name.startswith("asr_"):
        return ESPNET_DEFAULTS | flat(yaml.safe_load((root / "conf" / name).read_text(encoding="utf-8")))
    return flat(dataclasses.asdict(load_experiment_config(root / "conf" / name)))


def line_of(text: str, key: str) -> str:
    """The line of a key in a YAML file of two levels."""
    section, _, name = key.rpartition(".")
    inside = not section
    for line in text.splitlines():
        if not line.startswith((" ", "-", "#")):
            inside = line.startswith(f"{section}:") if section else True
        if inside and re.match(rf"\s*{name}:", line):
            return line
    return ""


def test_every_file_and_key_is_in_the_table(root, table, files):
    assert set(table) == set(files)
    for name, text in files.items():
        keys = {row["key"] for row in table[name]}
        assert len(keys) == len(table[name]), name
        set_here = set(flat(yaml.safe_load(text)))
        ours = OURS | (OURS_OF_CTC if "ctc" in name else set())
        assert set_here - keys - ours == set(), name


def test_values(root, table, files):
    for name, rows in table.items():
        values = resolved(root, name)
        for row in rows:
            published, where = yaml.safe_load(row["published"]), f"{name}: {row['key']}"
            if not row["shipped"]:
                assert values[row["key"]] == published, where
                continue
            assert values[row["key"]] == yaml.safe_load(row["shipped"]) != published, where
            assert re.search(r"#.*publish", line_of(files[name], row["key"])), f"{where}: a comment must name the published value"

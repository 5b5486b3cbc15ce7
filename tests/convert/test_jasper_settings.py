"""NeMo's and NVIDIA's configurations against ours."""

import copy

import pytest

from asrlib.config.families import load_train_config
from asrlib.convert.jasper_settings import check_settings
from asrlib.utils.errors import UserError

SAME = ["features.symmetric_window=true", "features.log_floor=5.9604645e-8"]


def block(filters, width, repeat, dense=False, stride=1, dilation=1, dropout=0.2):
    return {
        "filters": filters, "kernel": [width], "repeat": repeat, "stride": [stride], "dilation": [dilation], "dropout": dropout, "residual": dense,
    } | ({"residual_dense": True} if dense else {})  # fmt: skip


def published():
    """Jasper 10x5 with dense residuals as in NeMo's jasper_10x5dr.yaml."""
    inner = [block(f, k, 5, True) for f, k in ((256, 11), (384, 13), (512, 17), (640, 21), (768, 25)) for _ in range(2)]
    return {
        "preprocessor": {
            "normalize": "per_feature", "window_size": 0.02, "sample_rate": 16000, "window_stride": 0.01, "window": "hann", "features": 64,
            "n_fft": 512, "frame_splicing": 1, "dither": 1e-5,
        },
        "encoder": {
            "feat_in": 64, "activation": "relu", "conv_mask": True,
            "jasper": [block(256, 11, 1, stride=2), *inner, block(896, 29, 1, dilation=2), block(1024, 1, 1)],
        },
    }  # fmt: skip


@pytest.fixture
def config(root):
    return lambda *overrides: load_train_config(root / "conf/jasper.yaml", [*SAME, *overrides])


def test_the_published_configuration_is_ours(config, logged):
    for theirs in (published(), {"model": published()}, {"cfg": published()}, {}, {"labels": ["a"]}):
        check_settings(config(), theirs, "a.nemo")
    assert not logged


def test_that_of_nvidias_code(config, logged):
    """Other names of sections and keys; 1e-20 before the logarithm."""
    theirs = published()
    blocks = [{("kernel_size" if key == "kernel" else key): value for key, value in b.items()} for b in theirs["encoder"].pop("jasper")]
    features = theirs["preprocessor"] | {"n_filt": theirs["preprocessor"].pop("features")}
    nvidia = {
        "input_val": {"filterbank_features": {key: value for key, value in features.items() if key != "features"}},
        "jasper": {"encoder": {"in_feats": 64, "activation": "relu", "use_conv_masks": True, "blocks": blocks}, "decoder": {"in_feats": 1024}},
    }
    check_settings(config("features.log_floor=1e-20"), nvidia, "a.pt")
    assert not logged
    nvidia["jasper"]["encoder"]["blocks"][3]["repeat"] = 4
    with pytest.raises(UserError, match="one number of sub-blocks"):
        check_settings(config(), nvidia, "a.pt")


def test_details_of_the_features_are_a_warning(config, logged):
    check_settings(config("features.symmetric_window=false", "features.log_floor=1e-20"), published(), "a.nemo")
    (line,) = logged
    assert 'differ in details: for the same ones give --train_args "features.log_floor=5.96' in line and "features.symmetric_window=true" in line
    theirs = published()
    theirs["encoder"]["conv_mask"] = False
    check_settings(config(), theirs, "a.nemo")
    assert "trained without masks" in logged[-1]


@pytest.mark.parametrize(
    ("override", "argument"),
    [
        ("features.num_mels=80", "features.num_mels=64"),
        ("features.window=hamming", "features.window=hann"),
        ("features.n_fft=1024", "features.n_fft=512"),
        ("features.normalize=false", "features.normalize=true"),
        ("features.sample_rate=8000", "features.sample_rate=16000"),
        ("model_conf.repeat=3", "model_conf.repeat=5"),
        ("model_conf.blocks=1", "model_conf.blocks=2"),
        ("model_conf.epilogue_filters=[896,512]", r"model_conf.epilogue_filters=\[896,1024\]"),
        ("model_conf.prologue_kernel=9", "model_conf.prologue_kernel=11"),
        ("model_conf.kernels=[11,13,17,21,27]", r"model_conf.kernels=\[11,13,17,21,25\]"),
    ],
)
def test_the_arguments_to_give_are_named(config, override, argument):
    """And with them, the two agree."""
    with pytest.raises(UserError, match=f'^a.nemo: the configuration in the file has .*: give --train_args ".*{argument}.*"$') as error:
        check_settings(config(override), published(), "a.nemo")
    arguments = str(error.value).split('--train_args "')[1].rstrip('"')
    check_settings(config(override, *arguments.split()), published(), "a.nemo")


def test_another_number_of_widths(config):
    """The arguments hold the dropouts, too, of which our configuration has one for each width."""
    theirs = published()
    theirs["encoder"]["jasper"][1:-2] = [block(256, 11, 3, True, dropout=0.1), block(384, 13, 3, True)]
    with pytest.raises(UserError, match=r"model_conf.dropouts=\[0.1,0.2\]") as error:
        check_settings(config(), theirs, "a.nemo")
    check_settings(config(*str(error.value).split('--train_args "')[1].rstrip('"').split()), theirs, "a.nemo")


def test_equal_widths_in_a_row(config):
    """Two blocks of one width are the same, whether as one pair or as two widths."""
    theirs = published()
    theirs["encoder"]["jasper"][1:-2] = [block(256, 11, 5, True)] * 2
    ours = ("model_conf.filters=[256,256]", "model_conf.kernels=[11,11]", "model_conf.dropouts=[0,0]", "model_conf.blocks=1")
    check_settings(config(*ours), theirs, "a.nemo")


OTHERS = {  # what our Jasper does not have
    ("encoder", "activation"): "hardtanh",
    ("encoder", "normalization_mode"): "group",
    ("preprocessor", "normalize"): "all_features",
    ("preprocessor", "frame_splicing"): 2,
    ("preprocessor", "mag_power"): 1.0,
    ("encoder", "jasper", 2, "separable"): True,
    ("encoder", "jasper", 2, "se"): True,
    ("encoder", "jasper", 2, "groups"): 4,
    ("encoder", "jasper", 2, "residual_dense"): False,
    ("encoder", "jasper", 0, "stride"): [1],
    ("encoder", "jasper", 11, "dilation"): [1],
    ("encoder", "jasper", 12, "kernel"): [3],
    ("encoder", "jasper", 12, "residual"): True,
}


@pytest.mark.parametrize("place", OTHERS, ids=lambda place: ".".join(map(str, place)))
def test_what_our_jasper_does_not_have(config, place):
    theirs = copy.deepcopy(published())
    *above, last = place
    section = theirs
    for key in above:
        section = section[key]
    section[last] = OTHERS[place]
    name = ".".join(map(str, place)).replace(".jasper.", r".jasper\[").replace(f".{last}", rf"\]?\.{last}")
    with pytest.raises(UserError, match=f"a.nemo: {name} is .*: our Jasper has .* alone"):
        check_settings(config(), theirs, "a.nemo")


@pytest.mark.parametrize(
    "theirs", [{"encoder": "x"}, {"encoder": {"jasper": ["x"]}}, {"preprocessor": {"window_size": "x"}}, {"encoder": {"jasper": 3}}]
)
def test_other_forms(config, theirs):
    with pytest.raises(UserError, match="a.nemo: the configuration in the file is not as NeMo"):
        check_settings(config(), theirs, "a.nemo")


def test_too_few_blocks(config):
    theirs = published()
    del theirs["encoder"]["jasper"][2:]
    with pytest.raises(UserError, match="a.nemo: encoder.jasper"):
        check_settings(config(), theirs, "a.nemo")

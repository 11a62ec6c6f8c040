"""The models of the papers against the counts of the papers; built without memory."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
import torch

from kdray import parts
from kdray.errors import ModelError
from kdray.measure.cost import macs, macs_ptflops
from kdray.measure.zoo import FILE, count
from kdray.models import build_model
from kdray.net import Look, Net, Wants, look

STORED: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
NAMES = list(parts.presets("models"))
SIZES = {name: preset.facts.get("sizes", "") for name, preset in parts.presets("models").items()}

#: Parameters with 1000, 7, 4, 3 and 2 classes, and MACs with 4 classes at 224 px.
COUNTS = {
    "vgg19_fc": (143678248, 139609927, 139597636, 139593539, 139589442, 19627982848),
    "vgg19": (20548392, 20038983, 20037444, 20036931, 20036418, 19508430848),
    "densenet201": (20013928, 18106375, 18100612, 18098691, 18096770, 4289453568),
    "visformer_small": (40219592, 39455975, 39453668, 39452899, 39452130, 4878615552),
    "autoformer_v2_t": (28328674, 27565057, 27562750, 27561981, 27561212, 4622567424),
    "ofa_595": (9135928, 7609687, 7605076, 7603539, 7602002, 511331824),
    "eeea_net_c2": (5995904, 4723871, 4720028, 4718747, 4717466, 289929152),
    "deit_base": (86567656, 85804039, 85801732, 85800963, 85800194, 17563063296),
    "wide_resnet50_2": (68883240, 66848583, 66842436, 66840387, 66838338, 11395981312),
    "convnext_tiny": (28589128, 27825511, 27823204, 27822435, 27821666, 4454766336),
    "resnet101": (44549160, 42514503, 42508356, 42506307, 42504258, 7799365632),
    "resnet152": (60192808, 58158151, 58152004, 58149955, 58147906, 11511586816),
    "shufflenet_v2_x0_5": (1366792, 348967, 345892, 344867, 343842, 39456544),
    "shufflenet_v2_x1_0": (2278604, 1260779, 1257704, 1256679, 1255654, 143888088),
    "mobilenetv3_small": (2542856, 1525031, 1521956, 1520931, 1519906, 55490496),
    "regnety_004": (4344144, 3906231, 3904908, 3904467, 3904026, 401404608),
    "ghostnet_100": (5182508, 3910475, 3906632, 3905351, 3904070, 139875632),
    "hdkd_teacher": (4076774, 3948677, 3948290, 3948161, 3948032, 5699856928),
    "hdkd_student": (3980178, 3724977, 3724206, 3723949, 3723692, 2022373216),
    "hdkd": (4237690, 3727288, 3725746, 3725232, 3724718, 2025340256),
    "mobilenet_v2": (3504872, 2232839, 2228996, 2227715, 2226434, 299499392),
    "mobilenet_v3_large": (5483032, 4210999, 4207156, 4205875, 4204594, 215314880),
    "efficientnet_b0": (5288548, 4016515, 4012672, 4011391, 4010110, 384539872),
    "regnety_040": (20646656, 19565279, 19562012, 19560923, 19559834, 3972204800),
    "regnety_160": (83590140, 80586315, 80577240, 80574215, 80571190, 15908498368),
    "crossvit_tiny": (7014800, 6726830, 6725960, 6725670, 6725380, 1562447232),
    "cskd_tiny": (5910800, 5527502, 5526344, 5525958, 5525572, 1260621312),
    "mobilevit_s": (5578632, 4942119, 4940196, 4939555, 4938914, 1520869888),
    "pvt_v2_b0": (3666760, 3411559, 3410788, 3410531, 3410274, 565810688),
    "coatnet_0": (27435562, 26671945, 26669638, 26668869, 26668100, 4405536000),
    "densenet121": (7978856, 6961031, 6957956, 6956931, 6955906, 2833141760),
}
#: Parameters with 7 classes in millions, MACs in billions: what is known of the others.
ROUNDED = {
    "pvt_tiny": (12.720, 1.932),
    "mobilenet_v3_large_mbcsa": (4.205, 0.2171),
    "mobilevit_s_mbcsa": (5.021, 1.523),
    "coatnet_0_mbcsa": (26.092, 4.4060),
}
#: GFLOPs that the HDKD paper prints in its tables 5 and 10 for 7 classes, counted by ptflops.
PRINTED = {
    "hdkd_teacher": 5.88,
    "hdkd_student": 2.08,
    "hdkd": 2.09,
    "mobilenet_v2": 0.32,
    "mobilenet_v3_large": 0.23,
    "efficientnet_b0": 0.41,
    "regnety_040": 4.0,
    "pvt_tiny": 1.88,
    "pvt_v2_b0": 0.54,
    "coatnet_0": 4.21,
}
#: Paths of the early and the late map, of the map of Grad-CAM, and their shapes.
PLACES = {
    "resnet101": ("layer1.0", (256, 56, 56), "layer4", (2048, 7, 7)),
    "wide_resnet50_2": ("layer1.0", (256, 56, 56), "layer4", (2048, 7, 7)),
    "convnext_tiny": ("stages.0.blocks.0", (96, 56, 56), "stages.3", (768, 7, 7)),
    "shufflenet_v2_x0_5": ("stage2.0", (48, 28, 28), "conv5.2", (1024, 7, 7)),
    "shufflenet_v2_x1_0": ("stage2.0", (116, 28, 28), "conv5.2", (1024, 7, 7)),
    "mobilenetv3_small": ("blocks.0.0", (16, 56, 56), "blocks.5", (576, 7, 7)),
    "regnety_004": ("s1.b1", (48, 56, 56), "s4", (440, 7, 7)),
    "ghostnet_100": ("blocks.0.0", (16, 112, 112), "blocks.9", (960, 7, 7)),
    "densenet121": ("features.denseblock1", (256, 56, 56), "features.norm5", (1024, 7, 7)),
    "visformer_small": ("stage1.0", (192, 28, 28), "norm", (768, 7, 7)),
    "autoformer_v2_t": ("layers.0.blocks.0", (96, 56, 56), "norm", (768, 7, 7)),
    "vgg19": ("features.6", (64, 112, 112), "features", (512, 7, 7)),
    "ofa_595": ("blocks.0.0", (24, 112, 112), "blocks.6", (1152, 7, 7)),
    "eeea_net_c2": ("blocks.0.0", (16, 112, 112), "blocks.6", (960, 7, 7)),
    "hdkd": ("stage2.0", (96, 56, 56), "stage3", (192, 28, 28)),
    "hdkd_teacher": ("stage2.0", (96, 56, 56), "stage3", (192, 28, 28)),
    "cnn5": ("stages.0", (32, 112, 112), "stages.4.act", (640, 14, 14)),
}
#: Blocks with attention; the others have none.
BLOCKS = {
    "autoformer_v2_t": 2 + 2 + 6 + 2,
    "coatnet_0": 7 + 2,
    "coatnet_0_mbcsa": 7 + 2,
    "crossvit_tiny": 3 * (1 + 4),
    "cskd_tiny": 12,
    "deit_base": 12,
    "hdkd": 3,
    "hdkd_student": 3,
    "mobilevit_s": 2 + 4 + 3,
    "mobilevit_s_mbcsa": 2 + 4 + 3,
    "pvt_tiny": 8,
    "pvt_v2_b0": 8,
    "visformer_small": 4 + 4,
}


@cache
def whole(name: str, classes: int = 4, size: int = 224, channels: int = 3) -> tuple[Net, Look]:
    """Return a network on the meta device and all that can be seen of it there."""
    with torch.device("meta"), torch.no_grad():
        net = build_model(name, {}, channels=channels, classes=classes, image_size=size)
        net.module.eval()
        wants = Wants(tuple(net.taps), tuple(net.heads), bool(net.attention))
        return net, look(net, torch.zeros(2, channels, size, size), wants)


def at(name: str, key: str, classes: int) -> int:
    base, each = STORED[name][key]
    return int(base + each * classes)


def test_every_model_has_its_counts_and_every_count_its_model() -> None:
    assert list(STORED) == NAMES
    assert {*COUNTS, *ROUNDED} >= {name for name in NAMES if not name.startswith("cnn5")}


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_counts_are_those_of_the_network(name: str) -> None:
    net, seen = whole(name)
    with torch.device("meta"):
        counted = macs(net.module, torch.zeros(1, 3, 224, 224))
    assert sum(weight.numel() for weight in net.module.parameters()) == at(name, "parameters", 4)
    assert counted == at(name, "macs", 4)
    assert {tap: list(maps.shape[1:]) for tap, maps in seen.maps.items()} == STORED[name]["taps"]
    assert list(net.heads) == STORED[name]["heads"]
    assert len(net.attention) == STORED[name]["attention"]


def test_the_counts_of_a_model_are_made_as_they_are_stored() -> None:
    stored = {key: value for key, value in STORED["hdkd"].items() if key != "macs_ptflops"}
    assert count("hdkd") == stored


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_and_operations_are_the_known_ones(name: str) -> None:
    *parameters, operations = COUNTS[name]
    assert [at(name, "parameters", classes) for classes in (1000, 7, 4, 3, 2)] == parameters
    assert at(name, "macs", 4) == pytest.approx(operations, rel=0.005)


@pytest.mark.parametrize("name", ROUNDED)
def test_what_only_hdkd_measures_has_the_measured_size(name: str) -> None:
    parameters, operations = ROUNDED[name]
    assert at(name, "parameters", 7) / 1e6 == pytest.approx(parameters, abs=0.0005)
    assert at(name, "macs", 7) / 1e9 == pytest.approx(operations, rel=0.005)


@pytest.mark.parametrize("name", PRINTED)
def test_the_papers_counting_gives_the_printed_operations(name: str) -> None:
    # Printed with two or three figures.
    assert at(name, "macs_ptflops", 7) / 1e9 == pytest.approx(PRINTED[name], rel=0.006)


def test_mobilevit_is_printed_for_256_px() -> None:
    with torch.device("meta"):
        net = build_model("mobilevit_s", {}, channels=3, classes=7, image_size=256)
        counted = macs(net.module.eval(), torch.zeros(1, 3, 256, 256))
    assert counted / 1e9 == pytest.approx(2.0, rel=0.005)


@pytest.mark.parametrize(
    ("name", "params", "printed"),
    [
        ("hdkd_teacher", {"block": "mbconv"}, 5.85),
        ("hdkd_student", {"block": "mbconv"}, 2.07),
        ("hdkd", {"block": "mbconv"}, 2.08),
        ("hdkd_teacher", {"stem_stride": 4}, 1.47),
        ("hdkd_teacher", {"stem_stride": 8}, 0.368),
        ("hdkd_student", {"stem_stride": 4}, 0.511),
        ("hdkd_student", {"stem_stride": 8}, 0.139),
        ("hdkd", {"stem_stride": 4}, 0.513),
        ("hdkd", {"stem_stride": 8}, 0.141),
    ],
)
def test_tables_10_and_12_of_hdkd_print_what_ptflops_counts(
    name: str, params: dict[str, Any], printed: float
) -> None:
    net = build_model(name, params, channels=3, classes=7, image_size=224)
    counted, missing = macs_ptflops(net.module, 3, 224)
    assert missing == ""
    assert counted is not None
    assert counted / 1e9 == pytest.approx(printed, rel=0.0035)


@pytest.mark.parametrize("name", PLACES)
def test_the_early_and_the_late_map_are_where_they_should_be(name: str) -> None:
    early, early_shape, late, late_shape = PLACES[name]
    net, seen = whole(name)
    assert (net.taps["texture"].path, net.taps["shape"].path) == (early, late)
    assert net.taps["cam"] == net.taps["shape"]
    assert seen.maps["texture"].shape[1:] == early_shape
    assert seen.maps["shape"].shape[1:] == late_shape


@pytest.mark.parametrize("name", NAMES)
def test_every_model_has_places_to_look_at(name: str) -> None:
    net, seen = whole(name)
    tokens = net.taps["cam"].layout == "tokens" and not name.startswith("pvt")
    wanted = {"stage1", "stage2", "stage3", "cam", "final"}
    assert set(net.taps) >= (wanted if tokens else wanted | {"texture", "shape"})
    assert all(maps.ndim == 4 and maps.shape[0] == 2 for maps in seen.maps.values())
    assert len(seen.attention) == BLOCKS.get(name, 0)
    assert all(maps.ndim == 3 and maps.shape[0] == 2 for maps in seen.attention)
    assert seen.logits.shape == (2, 4)


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_stated_image_in_grey_fits_every_model(name: str) -> None:
    size = 16 if SIZES.get(name, "").startswith("16") else 32
    _, seen = whole(name, 3, size, 1)
    assert seen.logits.shape == (2, 3)
    assert all(maps.shape[0] == 2 for maps in seen.maps.values())
    assert min(seen.maps["cam"].shape[2:]) > 1


@pytest.mark.parametrize("name", [name for name, sizes in SIZES.items() if "multiples" in sizes])
def test_the_next_size_that_fits_is_named(name: str) -> None:
    with pytest.raises(ModelError, match=r"100.*Set data\.image_size to 96\."):
        whole(name, 4, 100)


@pytest.mark.parametrize("name", ["densenet121", "visformer_small", "autoformer_v2_t", "hdkd"])
def test_other_image_sizes_need_not_be_multiples(name: str) -> None:
    assert whole(name, 4, 100)[1].logits.shape == (2, 4)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_says_what_it_is_and_where_it_comes_from(name: str) -> None:
    facts = parts.presets("models")[name].facts
    assert facts["role"] in ("teacher", "student", "both", "comparator")
    assert set(facts["papers"]) <= {"XKD", "DFKD", "HDKD", "TKD"}
    assert facts["papers"]
    assert len(facts["source"]) > 10

"""Torch's names and layouts: literal keys, a round trip, and errors that name the key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from rrjax import BadInput, models
from rrjax.runs import torch_checkpoint


def template(name, variant="cifar", width=64, classes=10):
    """The shapes of a model's variables."""
    model = models.create(
        ConfigDict(
            {
                "name": name,
                "variant": variant,
                "width": width,
                "classes": classes,
                "mean": (0.5,) * 3,
                "std": (0.5,) * 3,
                "dtype": "float32",
                "param_dtype": "float32",
                "sync_batch_norm": False,
            }
        )
    )
    return jax.eval_shape(lambda key: models.init(model, key, (32, 32, 3)), jax.random.key(0))


def counted(tree):
    """Fill a tree of shapes with numbers that are all different."""
    start = 0

    def fill(leaf):
        nonlocal start
        start += leaf.size
        return np.arange(start - leaf.size, start, dtype=leaf.dtype).reshape(leaf.shape)

    return jax.tree.map(fill, tree)


@pytest.mark.parametrize(
    ("name", "variant", "count", "keys"),
    [
        (
            "resnet50",
            "cifar",
            267,
            {
                "conv1.weight": (64, 3, 3, 3),
                "layer1.0.shortcut.0.weight": (256, 64, 1, 1),
                "layer1.0.shortcut.1.running_var": (256,),
                "layer4.2.bn3.weight": (2048,),
                "linear.weight": (10, 2048),
            },
        ),
        (
            "resnet18",
            "imagenet",
            102,
            {
                "conv1.weight": (64, 3, 7, 7),
                "layer2.0.downsample.0.weight": (128, 64, 1, 1),
                "layer2.0.downsample.1.bias": (128,),
                "fc.bias": (10,),
            },
        ),
        (
            "preact_resnet18",
            "robust_overfitting",
            90,
            {
                "conv1.weight": (64, 3, 3, 3),
                "layer1.0.bn1.running_mean": (64,),
                "layer2.0.bn1.weight": (64,),
                "layer2.0.shortcut.0.weight": (128, 64, 1, 1),
                "bn.running_var": (512,),
                "linear.bias": (10,),
            },
        ),
        (
            "wideresnet28_10",
            "cifar",
            130,
            {
                "conv1.weight": (16, 3, 3, 3),
                "block1.layer.0.bn1.bias": (16,),
                "block1.layer.0.convShortcut.weight": (160, 16, 1, 1),
                "block3.layer.3.conv2.weight": (640, 640, 3, 3),
                "bn1.running_mean": (640,),
                "fc.weight": (10, 640),
            },
        ),
        (
            "vgg16_bn",
            "cifar",
            80,
            {
                "features.0.bias": (64,),
                "features.41.running_mean": (512,),
                "classifier.weight": (10, 512),
            },
        ),
        (
            "resnext50_32x4d",
            "imagenet",
            267,
            {
                "layer1.0.conv2.weight": (128, 4, 3, 3),
                "layer4.2.bn2.running_var": (1024,),
                "fc.bias": (10,),
            },
        ),
        (
            "densenet161",
            "imagenet",
            806,
            {
                "features.conv0.weight": (96, 3, 7, 7),
                "features.denseblock1.denselayer2.norm1.weight": (144,),
                "features.transition3.conv.weight": (1056, 2112, 1, 1),
                "features.norm5.running_mean": (2208,),
                "classifier.weight": (10, 2208),
            },
        ),
        (
            "mobilenet_v2",
            "imagenet",
            262,
            {
                "features.0.0.weight": (32, 3, 3, 3),
                "features.1.conv.0.0.weight": (32, 1, 3, 3),
                "features.1.conv.2.bias": (16,),
                "features.17.conv.1.1.running_var": (960,),
                "features.17.conv.2.weight": (320, 960, 1, 1),
                "features.18.1.weight": (1280,),
                "classifier.1.bias": (10,),
            },
        ),
        (
            "shufflenet_v2_x1_0",
            "imagenet",
            282,
            {
                "conv1.0.weight": (24, 3, 3, 3),
                "stage2.0.branch1.0.weight": (24, 1, 3, 3),
                "stage4.3.branch2.6.bias": (232,),
                "conv5.1.running_mean": (1024,),
                "fc.weight": (10, 1024),
            },
        ),
        (
            "mnasnet1_0",
            "imagenet",
            262,
            {
                "layers.3.weight": (32, 1, 3, 3),
                "layers.9.2.layers.3.weight": (120, 1, 5, 5),
                "layers.13.0.layers.7.running_var": (320,),
                "layers.15.bias": (1280,),
                "classifier.1.weight": (10, 1280),
            },
        ),
    ],
)
def test_the_names_and_shapes_are_torchs(name, variant, count, keys):
    tree = jax.tree.map(lambda leaf: np.empty(leaf.shape, np.int8), template(name, variant))
    state = torch_checkpoint.to_state_dict(tree)
    assert len(state) == count
    assert {key: state[key].shape for key in keys} == keys


def test_there_and_back_is_the_identity():
    variables = counted(template("resnet8", width=2))
    state = torch_checkpoint.to_state_dict(variables)
    state["bn1.num_batches_tracked"] = np.array(7)
    back = torch_checkpoint.from_state_dict(state, template("resnet8", width=2))
    assert jax.tree.structure(back) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, back, variables)
    assert {leaf.dtype for leaf in jax.tree.leaves(back)} == {np.dtype("float32")}


def test_a_kernel_is_transposed_and_a_vector_is_not():
    variables = {"params": {"c": {"kernel": jnp.zeros((1, 2, 3, 4))}, "d": {"bias": jnp.zeros(2)}}}
    torch_kernel = np.arange(24.0).reshape(4, 3, 1, 2)
    state = {"c.weight": torch_kernel, "d.bias": np.array([1.0, 2.0])}
    params = torch_checkpoint.from_state_dict(state, variables)["params"]
    assert params["c"]["kernel"][0, 1, 2, 3] == torch_kernel[3, 2, 0, 1]
    np.testing.assert_array_equal(params["d"]["bias"], [1.0, 2.0])


def test_loaded_variables_do_not_follow_the_callers_arrays():
    tree = template("tiny")
    state = torch_checkpoint.to_state_dict(counted(tree))
    loaded = torch_checkpoint.from_state_dict(state, tree)
    before = jax.tree.map(np.array, loaded)
    for value in state.values():
        value[...] = -1
    jax.tree.map(np.testing.assert_array_equal, loaded, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("fc2.bias"),
            r"fc2.bias: the model has \(10,\), the state dict no such key",
        ),
        (
            lambda state: state.update({"fc3.bias": np.zeros(4)}),
            r"fc3.bias: the model has no such key, the state dict \(4,\)",
        ),
        (
            lambda state: state.update({"conv1.weight": np.zeros((4, 3, 5, 5))}),
            r"conv1.weight: the model has \(4, 3, 3, 3\), the state dict \(4, 3, 5, 5\)",
        ),
    ],
)
def test_a_wrong_key_is_named_with_both_shapes(change, message):
    tree = template("tiny")
    state = torch_checkpoint.to_state_dict(counted(tree))
    change(state)
    with pytest.raises(BadInput, match=message):
        torch_checkpoint.from_state_dict(state, tree)

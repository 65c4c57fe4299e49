"""The pretrained networks of `keras.applications`, as data.

Accuracies are those of https://keras.io/api/applications/ (MobileNetV3: of its docstring); licences are those that the
Keras documentation or, where it names none, the repository that published the weights gives.
"""

import math
from dataclasses import replace
from functools import partial

import keras

from transferkit._utils.quiet import warnings_filtered
from transferkit.backbones.backbone import Backbone
from transferkit.backbones.converted import ConvertedWeights
from transferkit.backbones.preprocessing import IMAGENET_STD
from transferkit.backbones.stages import Stage

_KERAS_H5 = "{lower}_weights_tf_dim_ordering_tf_kernels_notop.h5"
_TENSORFLOW_MODELS = "Keras, from those of Google, github.com/tensorflow/models"


def _build(class_name, input_shape, weights=None):
    """Builds `keras.applications.<class_name>` without its classifier."""
    # MobileNets remark that sizes without weights of their own get those for 224 pixels, which is what we want.
    with warnings_filtered(("ignore", Warning, "`input_shape` is undefined or non-square")):
        network = getattr(keras.applications, class_name)
        return network(include_top=False, input_shape=input_shape, weights=weights)


def _build_efficientnet(class_name, input_shape, weights=None):
    """Builds an EfficientNet that computes the same whether Keras fetches its weights or a file brings them.

    Keras divides the pixels by the root of their standard deviation only under `weights="imagenet"`; the same weights
    loaded from a file would give other features, without a word.
    """
    model = _build(class_name, input_shape, weights)
    if weights == "imagenet":
        return model
    return keras.models.clone_model(model, call_function=_call_and_divide_by_root_of_std)


def _call_and_divide_by_root_of_std(layer, *args, **kwargs):
    outputs = layer(*args, **kwargs)
    if isinstance(layer, keras.layers.Normalization):
        outputs = keras.layers.Rescaling([1 / math.sqrt(std) for std in IMAGENET_STD])(outputs)
    return outputs


def _family(*rows, stages, weights_file, builder=_build, **facts):
    """Makes one `Backbone` of each row.

    Args:
        rows: Tuples of name, class in `keras.applications`, pixels, parameters, ImageNet top-1 and hash of the weights.
        stages: Tuple of `Stage`, or a function from the name to one.
        weights_file: Name of the weights file; `{name}` stands for the name, `{lower}` for the class in lower case,
            `{last}` for the last word of the name.
        builder: Function of the class, `input_shape` and `weights`.
        facts: What the whole family has in common: further arguments of `Backbone`.
    """
    return tuple(
        Backbone(
            name=name,
            builder=partial(builder, class_name),
            image_size=(pixels, pixels),
            stages=stages(name) if callable(stages) else stages,
            num_parameters=num_parameters,
            imagenet_top1=imagenet_top1,
            weights_file=weights_file.format(name=name, lower=class_name.lower(), last=name.split("_")[-1]),
            weights_hash=weights_hash,
            **facts,
        )
        for name, class_name, pixels, num_parameters, imagenet_top1, weights_hash in rows
    )


def _stages(first, **first_layers):
    """Stage `first` at the image, then each of the others at the input of its first layer."""
    return (Stage(first), *(Stage(name, first_layer) for name, first_layer in first_layers.items()))


def _stages_after(first, **last_layers):
    """Stage `first` at the image, then each of the others at the output of the last layer before it."""
    return (Stage(first), *(Stage(name, after=last_layer) for name, last_layer in last_layers.items()))


def _blocks(first_layer, numbers, start=2, name="block"):
    """Stages `block2`, `block3`, … that begin at the layer `first_layer` of those numbers."""
    return {f"{name}{i}": first_layer.format(number) for i, number in enumerate(numbers, start)}


def _mobilenet_v3_stages(name):
    is_small = name.endswith("small")
    first = "expanded_conv_depthwise_pad" if is_small else "expanded_conv_depthwise"
    numbers = (1, 3, 6, 8) if is_small else (1, 3, 6, 10, 12)
    return _stages("stem", block1=first, **_blocks("expanded_conv_{}_expand", numbers), top="conv_1")


def _nasnet_stages(name):
    """Each cell takes the outputs of the two before it, so that only the stem ends in a single tensor."""
    num_cells = 4 if name == "nasnet_mobile" else 6
    return _stages_after(
        "stem",
        stem_cells="stem_bn1",
        cells1="reduction_concat_stem_2",
        cells2=f"normal_concat_{num_cells - 1}",
        cells3=f"normal_concat_{2 * num_cells}",
    )


def _efficientnet_v2_stages(name):
    last = 7 if name in ("efficientnet_v2_m", "efficientnet_v2_l") else 6
    blocks = _blocks("block{}a_expand_conv", range(2, last + 1))
    return _stages("stem", block1="block1a_project_conv", **blocks, top="top_conv")


def _convnext_stages(name):
    first = f"{name}_stage_0_block_0_depthwise_conv"
    return _stages("stem", stage1=first, **_blocks(name + "_downsampling_block_{}", range(3), name="stage"))


_VGG16, _VGG19 = _family(
    ("vgg16", "VGG16", 224, 14_714_688, 71.3, "6d6bbae143d832006294945121d1f1fc"),
    ("vgg19", "VGG19", 224, 20_024_384, 71.3, "253f8cb515780f3b799900260a226db6"),
    stages=_stages("block1", **_blocks("block{}_conv1", range(2, 6))),
    weights_file=_KERAS_H5,
    scaling="caffe",
    license="CC-BY-4.0",
    paper="Simonyan & Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015, "
    "arXiv:1409.1556",
    weights_origin="Keras, from those of VGG, University of Oxford",
)

VGG16_WEIGHTS = ConvertedWeights(
    file="vgg16_imagenet.npz",
    sha256="c169b5fa81537bd7f72a66d6f44bc25405da63cf372d75b045625fc1afbbf824",
    command="make vgg16-weights",
)

_RESNET = _family(
    ("resnet50", "ResNet50", 224, 23_587_712, 74.9, "4d473c1dd8becc155b73f8504c6f6626"),
    ("resnet101", "ResNet101", 224, 42_658_176, 76.4, "88cf7a10940856eca736dc7b7e228a21"),
    ("resnet152", "ResNet152", 224, 58_370_944, 76.6, "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    stages=_stages("conv1", **_blocks("conv{}_block1_1_conv", range(2, 6), name="conv")),
    weights_file=_KERAS_H5,
    scaling="caffe",
    license="MIT",
    paper="He, Zhang, Ren & Sun, Deep Residual Learning for Image Recognition, CVPR 2016, arXiv:1512.03385",
    weights_origin="Keras, from those of Kaiming He, github.com/KaimingHe/deep-residual-networks",
)

_RESNET_V2 = _family(
    ("resnet50_v2", "ResNet50V2", 224, 23_564_800, 76.0, "fac2f116257151a9d068a22e544a4917"),
    ("resnet101_v2", "ResNet101V2", 224, 42_626_560, 77.2, "c0ed64b8031c3730f411d2eb4eea35b5"),
    ("resnet152_v2", "ResNet152V2", 224, 58_331_648, 78.0, "ed17cf2e0169df9d443503ef94b23b33"),
    stages=_stages("conv1", **_blocks("conv{}_block1_preact_bn", range(2, 6), name="conv")),
    weights_file=_KERAS_H5,
    scaling="tf",
    license="BSD-3-Clause",
    paper="He, Zhang, Ren & Sun, Identity Mappings in Deep Residual Networks, ECCV 2016, arXiv:1603.05027",
    weights_origin="Keras, from those of Facebook, github.com/facebook/fb.resnet.torch",
)

_INCEPTION_V3 = _family(
    ("inception_v3", "InceptionV3", 299, 21_802_784, 77.9, "bcbd6486424b2319ff4ef7d526e38f63"),
    # Only the ends of its modules have lasting names, so that the stem goes as far as the end of the first.
    stages=_stages_after("stem", **{f"mixed{i}": f"mixed{i - 1}" for i in range(1, 11)}),
    weights_file="{name}_weights_tf_dim_ordering_tf_kernels_notop.h5",
    scaling="tf",
    min_image_size=75,
    license="Apache-2.0",
    paper="Szegedy, Vanhoucke, Ioffe, Shlens & Wojna, Rethinking the Inception Architecture for Computer Vision, "
    "CVPR 2016, arXiv:1512.00567",
    weights_origin=_TENSORFLOW_MODELS,
)

_INCEPTION_RESNET_V2 = _family(
    ("inception_resnet_v2", "InceptionResNetV2", 299, 54_336_736, 80.3, "d19885ff4a710c122648d3b5c3b684e4"),
    stages=(
        *_stages_after(
            "stem",
            block35="mixed_5b",
            mixed_6a="block35_10_ac",
            block17="mixed_6a",
            mixed_7a="block17_20_ac",
            block8="mixed_7a",
        ),
        Stage("top", "conv_7b"),
    ),
    weights_file="{name}_weights_tf_dim_ordering_tf_kernels_notop.h5",
    scaling="tf",
    min_image_size=75,
    license="Apache-2.0",
    paper="Szegedy, Ioffe, Vanhoucke & Alemi, Inception-v4, Inception-ResNet and the Impact of Residual Connections "
    "on Learning, AAAI 2017, arXiv:1602.07261",
    weights_origin=_TENSORFLOW_MODELS,
)

_XCEPTION = _family(
    ("xception", "Xception", 299, 20_861_480, 79.0, "b0042744bf5b25fce3cb969f33bebb97"),
    stages=_stages(
        "block1",
        block2="block2_sepconv1",
        **_blocks("block{}_sepconv1_act", range(3, 14), start=3),
        block14="block14_sepconv1",
    ),
    weights_file=_KERAS_H5,
    scaling="tf",
    min_image_size=71,
    license="MIT",
    paper="Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, CVPR 2017, arXiv:1610.02357",
    weights_origin="Keras, trained by the author",
)

_MOBILENET = _family(
    ("mobilenet", "MobileNet", 224, 3_228_864, 70.4, None),
    stages=_stages("stem", block1="conv_dw_1", **_blocks("conv_pad_{}", (2, 4, 6, 12))),
    weights_file="mobilenet_1_0_224_tf_no_top.h5",
    scaling="tf",
    license="Apache-2.0",
    paper="Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, 2017, "
    "arXiv:1704.04861",
    weights_origin=_TENSORFLOW_MODELS,
)

_MOBILENET_V2 = _family(
    ("mobilenet_v2", "MobileNetV2", 224, 2_257_984, 71.3, None),
    stages=_stages(
        "stem",
        block1="expanded_conv_depthwise",
        **_blocks("block_{}_expand", (1, 3, 6, 10, 13, 16)),
        top="Conv_1",
    ),
    weights_file="mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    scaling="tf",
    license="Apache-2.0",
    paper="Sandler, Howard, Zhu, Zhmoginov & Chen, MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018, "
    "arXiv:1801.04381",
    weights_origin=_TENSORFLOW_MODELS,
)

_MOBILENET_V3 = _family(
    ("mobilenet_v3_small", "MobileNetV3Small", 224, 939_120, 68.1, "d3e8ec802a04aa4fc771ee12a9a9b836"),
    ("mobilenet_v3_large", "MobileNetV3Large", 224, 2_996_352, 75.6, "07fb09a5933dd0c8eaafa16978110389"),
    stages=_mobilenet_v3_stages,
    weights_file="weights_mobilenet_v3_{last}_224_1.0_float_no_top_v2.h5",
    scaling="none",
    license="Apache-2.0",
    paper="Howard et al., Searching for MobileNetV3, ICCV 2019, arXiv:1905.02244",
    weights_origin=_TENSORFLOW_MODELS,
)

_DENSENET = _family(
    ("densenet121", "DenseNet121", 224, 7_037_504, 75.0, "30ee3e1110167f948a6b9946edeeb738"),
    ("densenet169", "DenseNet169", 224, 12_642_880, 76.2, "b8c4d4c20dd625c148057b9ff1c1176b"),
    ("densenet201", "DenseNet201", 224, 18_321_984, 77.3, "c13680b51ded0fb44dff2d8f86ac8bb1"),
    stages=_stages("conv1", **_blocks("conv{}_block1_0_bn", range(2, 6), name="conv")),
    weights_file=_KERAS_H5,
    scaling="torch",
    license="BSD-3-Clause",
    paper="Huang, Liu, van der Maaten & Weinberger, Densely Connected Convolutional Networks, CVPR 2017, "
    "arXiv:1608.06993",
    weights_origin="Keras, from those of the authors, github.com/liuzhuang13/DenseNet",
)

_NASNET = _family(
    ("nasnet_mobile", "NASNetMobile", 224, 4_269_716, 74.4, "1ed92395b5b598bdda52abe5c0dbfd63"),
    ("nasnet_large", "NASNetLarge", 331, 84_916_818, 82.5, "d81d89dc07e6e56530c4e77faddd61b5"),
    stages=_nasnet_stages,
    weights_file="{name}_no_top.h5",
    scaling="tf",
    license="Apache-2.0",
    paper="Zoph, Vasudevan, Shlens & Le, Learning Transferable Architectures for Scalable Image Recognition, "
    "CVPR 2018, arXiv:1707.07012",
    weights_origin=_TENSORFLOW_MODELS,
)

_EFFICIENTNET = _family(
    ("efficientnet_b0", "EfficientNetB0", 224, 4_049_571, 77.1, "50bc09e76180e00e4465e1a485ddc09d"),
    ("efficientnet_b1", "EfficientNetB1", 240, 6_575_239, 79.1, "74c4e6b3e1f6a1eea24c589628592432"),
    ("efficientnet_b2", "EfficientNetB2", 260, 7_768_569, 80.1, "111f8e2ac8aa800a7a99e3239f7bfb39"),
    ("efficientnet_b3", "EfficientNetB3", 300, 10_783_535, 81.6, "af6d107764bb5b1abb91932881670226"),
    ("efficientnet_b4", "EfficientNetB4", 380, 17_673_823, 82.9, "ebc24e6d6c33eaebbd558eafbeedf1ba"),
    ("efficientnet_b5", "EfficientNetB5", 456, 28_513_527, 83.6, "38879255a25d3c92d5e44e04ae6cec6f"),
    ("efficientnet_b6", "EfficientNetB6", 528, 40_960_143, 84.0, "9ecce42647a20130c1f39a5d4cb75743"),
    ("efficientnet_b7", "EfficientNetB7", 600, 64_097_687, 84.3, "cbcfe4450ddf6f3ad90b1b398090fe4a"),
    stages=_stages("stem", block1="block1a_dwconv", **_blocks("block{}a_expand_conv", range(2, 8)), top="top_conv"),
    weights_file="{lower}_notop.h5",
    builder=_build_efficientnet,
    scaling="none",
    license="Apache-2.0",
    paper="Tan & Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019, "
    "arXiv:1905.11946",
    weights_origin="Keras, from those of Google, github.com/tensorflow/tpu",
)

_EFFICIENTNET_V2 = _family(
    ("efficientnet_v2_b0", "EfficientNetV2B0", 224, 5_919_312, 78.7, "893217f2bb855e2983157299931e43ff"),
    ("efficientnet_v2_b1", "EfficientNetV2B1", 240, 6_931_124, 79.8, "0e80663031ca32d657f9caa404b6ec37"),
    ("efficientnet_v2_b2", "EfficientNetV2B2", 260, 8_769_374, 80.5, "1dfe2e7a5d45b6632553a8961ea609eb"),
    ("efficientnet_v2_b3", "EfficientNetV2B3", 300, 12_930_622, 82.0, "f6abf7b5849ac99a89b50dd3fd532856"),
    ("efficientnet_v2_s", "EfficientNetV2S", 384, 20_331_360, 83.9, "af0682fb74e8c54910f2d4393339c070"),
    ("efficientnet_v2_m", "EfficientNetV2M", 480, 53_150_388, 85.3, "1b8dc055df72dde80d614482840fe342"),
    ("efficientnet_v2_l", "EfficientNetV2L", 480, 117_746_848, 85.7, "b0b66b5c863aef5b46e8608fe1711615"),
    stages=_efficientnet_v2_stages,
    weights_file="efficientnetv2-{last}_notop.h5",
    scaling="none",
    license="Apache-2.0",
    paper="Tan & Le, EfficientNetV2: Smaller Models and Faster Training, ICML 2021, arXiv:2104.00298",
    weights_origin="Keras, from those of Google, github.com/google/automl",
)

_CONVNEXT_SHA256 = {
    "tiny": "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    "small": "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab",
    "base": "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45",
    "large": "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd",
    "xlarge": "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
}

_CONVNEXT = _family(
    ("convnext_tiny", "ConvNeXtTiny", 224, 27_820_128, 81.3, _CONVNEXT_SHA256["tiny"]),
    ("convnext_small", "ConvNeXtSmall", 224, 49_454_688, 82.3, _CONVNEXT_SHA256["small"]),
    ("convnext_base", "ConvNeXtBase", 224, 87_566_464, 85.3, _CONVNEXT_SHA256["base"]),
    ("convnext_large", "ConvNeXtLarge", 224, 196_230_336, 86.3, _CONVNEXT_SHA256["large"]),
    ("convnext_xlarge", "ConvNeXtXLarge", 224, 348_147_968, 86.7, _CONVNEXT_SHA256["xlarge"]),
    stages=_convnext_stages,
    weights_file="{name}_notop.h5",
    scaling="none",
    license="MIT",
    paper="Liu, Mao, Wu, Feichtenhofer, Darrell & Xie, A ConvNet for the 2020s, CVPR 2022, arXiv:2201.03545",
    weights_origin="Keras, from those of Facebook, github.com/facebookresearch/ConvNeXt",
)

APPLICATIONS = (
    replace(_VGG16, converted=VGG16_WEIGHTS),
    _VGG19,
    *_RESNET,
    *_RESNET_V2,
    *_INCEPTION_V3,
    *_INCEPTION_RESNET_V2,
    *_XCEPTION,
    *_MOBILENET,
    *_MOBILENET_V2,
    *_MOBILENET_V3,
    *_DENSENET,
    *_NASNET,
    *_EFFICIENTNET,
    *_EFFICIENTNET_V2,
    *_CONVNEXT,
)

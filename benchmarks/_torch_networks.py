"""VGG16, ResNet50 and EfficientNet-Lite0 in PyTorch, without classifier, in the usual modules and in the usual order.

For timing only: their weights are random. torch is imported when a network is built.
"""

VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # width and number of convolutions of each block
RESNET50 = ((64, 3), (128, 4), (256, 6), (512, 3))  # width and number of blocks of each stage
# One row a stage: kernel size, number of blocks, filters, expansion ratio, stride of the first block.
LITE0 = (
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1),
    (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
)


def build_network(name):
    """Builds a network by its name in transferkit. Returns the `torch.nn.Module` and the number of its features."""
    return {"vgg16": _vgg16, "resnet50": _resnet50, "efficientnet_lite0": _lite0}[name]()


def _vgg16():
    from torch import nn

    layers, channels = [], 3
    for width, repeats in VGG16:
        for _ in range(repeats):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers), channels


def _resnet50():
    from torch import nn

    layers, channels = [*_conv_bn(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)], 64
    for stage, (width, repeats) in enumerate(RESNET50):
        for number in range(repeats):
            layers.append(_bottleneck(channels, width, 2 if stage and not number else 1))
            channels = 4 * width
    return nn.Sequential(*layers), channels


def _bottleneck(channels, width, stride):
    from torch import nn

    # The stride is where Keras' ResNet50 and the paper have it: in the first convolution.
    path = [
        *_conv_bn(channels, width, 1, stride),
        nn.ReLU(inplace=True),
        *_conv_bn(width, width, 3),
        nn.ReLU(inplace=True),
        *_conv_bn(width, 4 * width, 1),
    ]
    shortcut = None if channels == 4 * width else nn.Sequential(*_conv_bn(channels, 4 * width, 1, stride))
    return _residual(path, shortcut or nn.Identity(), nn.ReLU(inplace=True))


def _lite0():
    from torch import nn

    layers, channels = [*_conv_bn(3, 32, 3, 2), nn.ReLU6(inplace=True)], 32
    for kernel_size, repeats, filters, expansion, stride in LITE0:
        for number in range(repeats):
            layers.append(_inverted(channels, filters, kernel_size, expansion, 1 if number else stride))
            channels = filters
    layers += [*_conv_bn(channels, 1280, 1), nn.ReLU6(inplace=True)]
    return nn.Sequential(*layers), 1280


def _inverted(channels, filters, kernel_size, expansion, stride):
    from torch import nn

    width = channels * expansion
    path = [] if expansion == 1 else [*_conv_bn(channels, width, 1), nn.ReLU6(inplace=True)]
    path += [*_conv_bn(width, width, kernel_size, stride, groups=width), nn.ReLU6(inplace=True)]
    path += _conv_bn(width, filters, 1)
    if stride == 1 and channels == filters:
        return _residual(path, nn.Identity(), nn.Identity())
    return nn.Sequential(*path)


def _conv_bn(channels, filters, kernel_size, stride=1, groups=1):
    from torch import nn

    padding = kernel_size // 2
    convolution = nn.Conv2d(channels, filters, kernel_size, stride, padding, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(filters)]


def _residual(path, shortcut, activation):
    from torch import nn

    class Residual(nn.Module):
        """A path, added to its input or to a projection of it."""

        def __init__(self):
            super().__init__()
            self.path, self.shortcut, self.activation = nn.Sequential(*path), shortcut, activation

        def forward(self, x):
            """Computes the block."""
            return self.activation(self.path(x) + self.shortcut(x))

    return Residual()

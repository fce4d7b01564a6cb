"""The published depth networks: sizes as printed, and what every network must do."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from recon.networks.depth.dense_depth import DenseDepth
from recon.networks.depth.encoders import ENCODERS, Encoder
from recon.networks.depth.face_depth import FaceDepth
from recon.networks.depth.pini import PiniDiscriminator, PiniGenerator
from recon.networks.depth.pix2pix import PatchDiscriminator, Pix2PixGenerator
from recon.networks.depth.siamese import SiameseVerifier
from recon.networks.depth.unet_simple import UNetSimple


def _counted(make, *shapes) -> tuple[int, float, torch.Size]:
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        network = make().eval()
        out = network(*(torch.zeros(shape) for shape in shapes))
    return sum(p.numel() for p in network.parameters()), counter.get_total_flops() / 2e9, out.shape


def test_unet_simple_is_the_papers_to_the_parameter():
    parameters, gmac, shape = _counted(UNetSimple, (1, 3, 480, 640))
    assert parameters == 17_267_393 and shape == (1, 1, 480, 640)
    # Beside convolutions the paper counts norms (2 an element), biases, rectifiers, pooling and growing.
    assert 188.04 - 1.0 < gmac < 188.04


def test_face_depth_with_the_classifier_that_it_does_not_use_is_the_papers():
    parameters, gmac, shape = _counted(FaceDepth, (1, 3, 480, 640))
    assert round((parameters + 1280 * 1000 + 1000) / 1e6, 2) == 14.42
    assert shape == (1, 1, 240, 320) and 16.41 - 0.2 < gmac < 16.41


def test_dense_depth_169_is_the_papers():
    parameters, _, shape = _counted(lambda: DenseDepth("densenet169"), (1, 3, 480, 640))
    assert parameters / 1e6 == pytest.approx(42.6, abs=0.1) and shape == (1, 1, 240, 320)


def test_the_generator_and_the_discriminator_of_pini_are_the_papers():
    parameters, _, shape = _counted(PiniGenerator, (2, 3, 96, 96))
    assert round(parameters / 1e6, 1) == 34.6 and shape == (2, 1, 96, 96)
    parameters, _, shape = _counted(PiniDiscriminator, (2, 1, 96, 96))
    assert round(parameters / 1e6, 1) == 17.2 and shape == (2,)


def test_a_patch_of_the_discriminator_sees_70_pixels():
    _, _, shape = _counted(PatchDiscriminator, (1, 3, 256, 256), (1, 1, 256, 256))
    assert shape == (1, 1, 30, 30)
    torch.manual_seed(0)
    judge = PatchDiscriminator().eval()
    pictures = torch.rand(1, 3, 256, 256, requires_grad=True)
    judge(pictures, torch.zeros(1, 1, 256, 256))[0, 0, 15, 14].backward()
    assert pictures.grad is not None
    rows, columns = torch.nonzero(pictures.grad.abs().sum(dim=(0, 1)), as_tuple=True)
    assert [int(at.max() - at.min()) + 1 for at in (rows, columns)] == [70, 70]


@pytest.mark.parametrize("name", ENCODERS)
def test_maps_of_encoders_halve_and_have_their_channels(name):
    with torch.device("meta"):
        encoder = Encoder(name).eval()
        maps = encoder(torch.zeros(2, 3, 64, 96))
    assert [m.shape[2:] for m in maps] == [(64 >> k, 96 >> k) for k in (1, 2, 3, 4, 5)]
    assert [m.shape[1] for m in maps] == list(encoder.channels)


def test_an_unknown_encoder_is_named():
    with pytest.raises(ValueError, match="unknown encoder 'vgg16'; known: densenet121"):
        Encoder("vgg16")


NETWORKS: dict[str, tuple[object, tuple[tuple[int, ...], ...]]] = {
    "unet_simple": (UNetSimple, ((2, 3, 32, 48),)),
    "face_depth": (FaceDepth, ((2, 3, 96, 128),)),
    "dense_depth": (lambda: DenseDepth("efficientnet_b0"), ((2, 3, 64, 96),)),
    "dense_depth_densenet": (lambda: DenseDepth("densenet121"), ((2, 3, 64, 96),)),
    "pini": (PiniGenerator, ((2, 3, 32, 48),)),
    "pini_discriminator": (lambda: PiniDiscriminator((32, 48)), ((2, 1, 32, 48),)),
    "pix2pix": (Pix2PixGenerator, ((2, 3, 256, 512),)),
    "patches": (PatchDiscriminator, ((2, 3, 64, 96), (2, 1, 64, 96))),
    "siamese": (SiameseVerifier, ((2, 1, 96, 96), (2, 1, 96, 96))),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_learns_and_pictures_do_not_mix(name):
    torch.manual_seed(1)
    make, shapes = NETWORKS[name]
    network: nn.Module = make()  # type: ignore[operator]
    inputs = [torch.rand(shape) for shape in shapes]
    out = network(*inputs)
    assert torch.isfinite(out).all()
    (out * torch.randn_like(out)).sum().backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]
    assert still == []
    network.eval()
    with torch.no_grad():
        whole = network(*inputs)
        for k in range(2):
            torch.testing.assert_close(network(*(x[k : k + 1] for x in inputs))[0], whole[k], rtol=1e-3, atol=1e-4)


def test_pini_sees_grey_alone():
    torch.manual_seed(2)
    network = PiniGenerator().eval()
    picture = torch.rand(1, 3, 32, 32)
    grey = (picture * network.grey).sum(dim=1, keepdim=True)
    with torch.no_grad():
        torch.testing.assert_close(network(picture), network(grey.expand(-1, 3, -1, -1)))


def test_the_verifier_does_not_mind_the_order():
    torch.manual_seed(3)
    verifier = SiameseVerifier().eval()
    first, second = torch.rand(2, 1, 96, 96), torch.rand(2, 1, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(verifier(first, second), verifier(second, first))
        assert not torch.allclose(verifier(first, second), verifier(first, first))

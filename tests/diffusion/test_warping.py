import torch

from backend.diffusion.warping import warp


def test_whole_cell_flows_copy_and_the_border_is_replicated():
    x = torch.randn(1, 3, 9, 13, generator=torch.Generator().manual_seed(0))
    flow = torch.zeros(1, 9, 13, 2)
    flow[..., 0], flow[..., 1] = 2, -3
    moved = warp(x, flow)
    assert (moved[:, :, 3:, :-2] - x[:, :, :-3, 2:]).abs().max() < 2e-6
    assert (moved[:, :, 3:, -1] - x[:, :, :-3, -1]).abs().max() < 2e-6


def test_half_a_cell_is_the_mean_of_two():
    x = torch.arange(4.0).view(1, 1, 1, 4)
    flow = torch.zeros(1, 1, 4, 2)
    flow[..., 0] = 0.5
    assert torch.allclose(warp(x, flow)[0, 0, 0], torch.tensor([0.5, 1.5, 2.5, 3.0]), atol=1e-6)

"""What is on the skin beyond the model's albedo: make-up, beards, lips of all shades; and the skin below the brows."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon.synthesis.config import SynthesisConfig
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.geometry.anatomy import Anatomy
from recon.synthesis.geometry.hair import STYLES, Hairstyles
from recon.synthesis.scene.people import People

_LIPSTICK = ((0.42, 0.04, 0.06), (0.50, 0.12, 0.14), (0.30, 0.04, 0.08), (0.55, 0.20, 0.17), (0.20, 0.02, 0.05))
_SHADOW = ((0.20, 0.13, 0.10), (0.10, 0.08, 0.09), (0.30, 0.16, 0.16), (0.16, 0.18, 0.26))


def hair_colours(rng: CounterRng, people: People) -> Float[Tensor, "b 3"]:
    """``(B, 3)`` linear colours from black to blond and red, grey with age; dark where the skin is dark."""
    melanin = people.albedo[:, 0] if people.albedo.shape[1] else torch.zeros_like(people.column("male"))
    light = (rng.uniform("hair light") ** 1.3 * torch.sigmoid(-1.3 * melanin - 0.2) * 1.5).clamp(0.0, 1.0)
    stops = light.new_tensor(
        [[0.010, 0.008, 0.007], [0.035, 0.022, 0.014], [0.10, 0.058, 0.032], [0.26, 0.17, 0.085], [0.46, 0.34, 0.19]]
    )
    place = light * (len(stops) - 1)
    low = place.long().clamp_max(len(stops) - 2)
    colour = stops[low] + (place - low)[:, None] * (stops[low + 1] - stops[low])
    red = rng.chance("red hair", 0.06) & (light > 0.25)
    colour = torch.where(red[:, None], colour * light.new_tensor([1.5, 0.75, 0.45]), colour)
    age = (people.column("age_years") - 50.0) / 32.0
    gray = (age + 0.5 * rng.normal("gray hair")).clamp(0.0, 1.0)[:, None] * 0.85
    dyed = rng.chance("dyed hair", 0.25 * (1.0 - 0.8 * people.column("male")))[:, None]
    silver = light.new_tensor([0.34, 0.34, 0.35])
    return torch.where(dyed, colour, colour + gray * (silver - colour)).clamp_max(0.6)


def skin_albedo(
    albedo: Float[Tensor, "b v 3"],
    anatomy: Anatomy,
    config: SynthesisConfig,
    person_rng: CounterRng,
    rng: CounterRng,
    people: People,
    hairstyles: Hairstyles,
) -> Float[Tensor, "b v 3"]:
    """The albedo with what people put on it and what grows on it.

    Args:
        albedo: ``(B, V, 3)`` linear, of the model.
        anatomy: of the model.
        config: for the strengths.
        person_rng: of the persons, who keep their lips.
        rng: of their looks, with which beards and make-up come and go.
        people: for sex.
        hairstyles: for the colour of hair, and whether the scalp is bare.
    """
    hair = hairstyles.colour
    bald = (hairstyles.style == STYLES.index("bald")).to(albedo.dtype)
    male = people.column("male")
    if config.hair > 0.0:
        roots = (0.85 * (1.0 - bald))[:, None, None] * anatomy.map("scalp")[None, :, None]
        albedo = albedo + roots * (0.8 * hair[:, None] - albedo)
        # The model's own brows are a few vertices of one shape: others are rendered in their place.
        albedo = _towards_skin(
            albedo, anatomy, (1.5 * anatomy.map("brows")).clamp(0.0, 1.0), config.hair * torch.ones_like(male)
        )
    if config.beard > 0.0:
        has = (rng.uniform("beard") < config.beard) & (male > 0.5)
        amount = has * (0.18 + 0.72 * rng.uniform("beard length") ** 1.6)
        albedo = albedo + amount[:, None, None] * _beard_map(anatomy, rng) * (0.9 * hair[:, None] - albedo)
    if config.skin_detail > 0.0:
        pale = config.skin_detail * 0.85 * person_rng.uniform("pale lips") ** 1.3
        albedo = _towards_skin(albedo, anatomy, anatomy.map("lips"), pale)
    if config.make_up > 0.0:
        wears = rng.uniform("make-up") < config.make_up * (2.4 - 2.3 * male)
        albedo = _made_up(albedo, anatomy, rng, wears.float())
    return albedo.clamp(0.0, 1.0)


def _towards_skin(albedo: Tensor, anatomy: Anatomy, where: Tensor, share: Tensor) -> Tensor:
    """A region in the colour of the skin: ``share`` ``(B,)`` of it, where the map ``where`` ``(V,)`` says."""
    cheeks = anatomy.map("cheeks")
    skin = (albedo * cheeks[:, None]).sum(dim=1, keepdim=True) / cheeks.sum().clamp_min(1e-6)
    return albedo + share[:, None, None] * where[None, :, None] * (skin - albedo)


def _beard_map(anatomy: Anatomy, rng: CounterRng) -> Float[Tensor, "b v 1"]:
    """Where the beard grows: all of it, or without cheeks, or only around the mouth."""
    beard = anatomy.beard
    cheeks = (rng.uniform("beard cheeks") < 0.35).float()
    return (beard[None] * (1.0 - 0.9 * cheeks[:, None] * anatomy.map("cheeks")[None]))[..., None]


def _made_up(albedo: Tensor, anatomy: Anatomy, rng: CounterRng, wears: Tensor) -> Tensor:
    def layer(albedo: Tensor, name: str, region: str, colours: tuple[tuple[float, ...], ...], most: float) -> Tensor:
        colour = albedo.new_tensor(colours)[rng.integer(f"{name} colour", len(colours))]
        amount = wears * most * rng.uniform(f"{name} amount")
        return albedo + amount[:, None, None] * anatomy.map(region)[None, :, None] * (colour[:, None] - albedo)

    albedo = layer(albedo, "lipstick", "lips", _LIPSTICK, 0.9)
    albedo = layer(albedo, "eye shadow", "eyelids", _SHADOW, 0.55)
    return layer(albedo, "blush", "cheeks", ((0.62, 0.22, 0.20),), 0.35)

"""The linear morphable model: coefficients in, vertices and albedo out."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bfm.data import AlbedoSpace, ModelData, Prior, SurfacePoints


class CoefficientError(ValueError):
    """Coefficients of the wrong width, or not finite."""


class MorphableModel(nn.Module):
    """A linear face model with fixed buffers (Blanz and Vetter 1999; Eqs. 1 and 2 of the reconstruction paper).

    ``S = S_mean + B_id a_id + B_exp a_exp`` in millimetres and ``T = T_mean + B_alb a_alb``.
    Linear in every coefficient; zero coefficients give the mean. Nothing here is trainable.
    """

    mean_shape: Float[Tensor, "v 3"]
    mean_albedo: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    uv: Float[Tensor, "u 2"]
    uv_faces: Int[Tensor, "g 3"]
    _identity: Float[Tensor, "ki v3"]
    _expression: Float[Tensor, "ke v3"]
    _albedo: Float[Tensor, "ka v3"]

    def __init__(self, data: ModelData) -> None:
        super().__init__()
        self.name = data.name
        self.licence = data.licence
        self.source = data.source
        self.albedo_space: AlbedoSpace = data.albedo_space
        self.identity_prior: Prior = data.identity_prior
        self.expression_prior: Prior = data.expression_prior
        self.albedo_prior: Prior = data.albedo_prior
        self.expression_names = data.expression_names
        for name, array in (
            ("mean_shape", data.mean_shape),
            ("mean_albedo", data.mean_albedo),
            ("uv", data.uv),
            ("_identity", _rows(data.identity_basis)),
            ("_expression", _rows(data.expression_basis)),
            ("_albedo", _rows(data.albedo_basis)),
        ):
            self.register_buffer(name, torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32)))
        for name, indices in (("faces", data.faces), ("uv_faces", data.uv_faces)):
            self.register_buffer(name, torch.as_tensor(np.ascontiguousarray(indices, dtype=np.int64)))
        self._regions = tuple(data.regions)
        for name, mask in data.regions.items():
            self.register_buffer(f"_region_{name}", torch.as_tensor(np.ascontiguousarray(mask, dtype=np.bool_)))
        self._landmark_sets = tuple(data.landmarks)
        for name, points in data.landmarks.items():
            corners = np.asarray(data.faces)[points.triangles]
            self.register_buffer(f"_corners_{name}", torch.as_tensor(np.ascontiguousarray(corners, dtype=np.int64)))
            weights = np.ascontiguousarray(points.barycentrics, dtype=np.float32)
            self.register_buffer(f"_weights_{name}", torch.as_tensor(weights))
            triangles = np.ascontiguousarray(points.triangles, dtype=np.int64)
            self.register_buffer(f"_triangles_{name}", torch.as_tensor(triangles))

    @property
    def n_vertices(self) -> int:
        return self.mean_shape.shape[0]

    @property
    def n_identity(self) -> int:
        return self._identity.shape[0]

    @property
    def n_expression(self) -> int:
        return self._expression.shape[0]

    @property
    def n_albedo(self) -> int:
        return self._albedo.shape[0]

    @property
    def region_names(self) -> tuple[str, ...]:
        """Names that :meth:`region` and :meth:`crop` accept."""
        return self._regions

    @property
    def landmark_sets(self) -> tuple[str, ...]:
        """Names that :meth:`landmarks` accepts."""
        return self._landmark_sets

    def shape(
        self,
        identity: Float[Tensor, "_b _i"] | None = None,
        expression: Float[Tensor, "_b _e"] | None = None,
    ) -> Float[Tensor, "b v 3"]:
        """Vertices ``(B, V, 3)`` in mm, object frame.

        Args:
            identity: ``(B, n_identity)``; ``None`` is the mean identity.
            expression: ``(B, n_expression)``; ``None`` is the neutral face. One of the two may have B = 1.

        Raises:
            CoefficientError: wrong width, or nan or inf on the CPU. On a GPU finiteness is not checked, because the
                check would make every call wait for the device.
        """
        flat = self.mean_shape.reshape(1, -1)
        batches = {len(block) for block in (identity, expression) if block is not None}
        batch = max(batches, default=1)
        if not batches <= {1, batch}:
            raise CoefficientError(f"identity and expression must have equal batches or 1, got {sorted(batches)}")
        for name, block, basis in (
            ("identity", identity, self._identity),
            ("expression", expression, self._expression),
        ):
            if block is not None:
                # The sum is fused into the product: adding 20 000 vertices apart costs as much as the product itself.
                flat = torch.addmm(flat, self._checked(name, block, basis).expand(batch, -1), basis)
        return flat.unflatten(-1, (self.n_vertices, 3))

    def albedo(self, coefficients: Float[Tensor, "b _a"] | None = None) -> Float[Tensor, "b v 3"]:
        """Albedo ``(B, V, 3)`` in [0, 1], in the model's ``albedo_space``.

        Linear in the coefficients up to the final clamp to [0, 1]; :meth:`albedo_unclamped` leaves the clamp out.

        Raises:
            CoefficientError: as :meth:`shape`.
        """
        return self.albedo_unclamped(coefficients).clamp(0.0, 1.0)

    def albedo_unclamped(self, coefficients: Float[Tensor, "b _a"] | None = None) -> Float[Tensor, "b v 3"]:
        """Albedo ``(B, V, 3)`` before the clamp to [0, 1]: exactly linear, for fitting and for tests."""
        flat = self.mean_albedo.reshape(1, -1)
        if coefficients is not None:
            flat = torch.addmm(flat, self._checked("albedo", coefficients, self._albedo), self._albedo)
        return flat.unflatten(-1, (self.n_vertices, 3))

    def landmarks(self, vertices: Float[Tensor, "b v c"], name: str = "68") -> Float[Tensor, "b n c"]:
        """Landmarks ``(B, N, C)`` of a named set on any per-vertex quantity ``(B, V, C)``.

        Raises:
            KeyError: the model has no such set.
            ValueError: the vertex count is not this model's.
        """
        corners, weights = self._points(name)
        if vertices.shape[-2] != self.n_vertices:
            raise ValueError(f"model {self.name!r} has {self.n_vertices} vertices, got {vertices.shape[-2]}")
        return torch.einsum("nk,bnkc->bnc", weights.to(vertices.dtype), vertices[:, corners])

    def landmarks68(self, vertices: Float[Tensor, "b v c"]) -> Float[Tensor, "b 68 c"]:
        """The 68 points of the Multi-PIE / 300W annotation, jaw on the bone ridge as in 300W-LP."""
        return self.landmarks(vertices, "68")

    def landmark_points(self, name: str) -> SurfacePoints:
        """Triangles and barycentrics of a named landmark set."""
        self._points(name)
        return SurfacePoints(
            triangles=getattr(self, f"_triangles_{name}").cpu().numpy(),
            barycentrics=getattr(self, f"_weights_{name}").float().cpu().numpy(),
        )

    def region(self, name: str) -> Bool[Tensor, " v"]:
        """Vertex mask ``(V,)`` of a named region.

        Raises:
            KeyError: the model has no such region.
        """
        if name not in self._regions:
            known = ", ".join(self._regions) or "none"
            raise KeyError(f"model {self.name!r} has no region {name!r}; it has: {known}")
        return getattr(self, f"_region_{name}")

    def any_region(self, *names: str) -> Bool[Tensor, " v"]:
        """Vertex mask ``(V,)`` of everything in any of the named regions; those that the model lacks are empty."""
        inside = torch.zeros(self.n_vertices, dtype=torch.bool, device=self.mean_shape.device)
        for name in names:
            if name in self._regions:
                inside |= self.region(name)
        return inside

    def data(self) -> ModelData:
        """The model as plain arrays, float32, for storage and for making another model of it."""
        return ModelData(
            name=self.name,
            licence=self.licence,
            source=self.source,
            mean_shape=_numpy(self.mean_shape),
            identity_basis=_columns(self._identity, self.n_vertices),
            expression_basis=_columns(self._expression, self.n_vertices),
            faces=_numpy(self.faces),
            mean_albedo=_numpy(self.mean_albedo),
            albedo_basis=_columns(self._albedo, self.n_vertices),
            albedo_space=self.albedo_space,
            uv=_numpy(self.uv),
            uv_faces=_numpy(self.uv_faces),
            identity_prior=self.identity_prior,
            expression_prior=self.expression_prior,
            albedo_prior=self.albedo_prior,
            expression_names=self.expression_names,
            regions={name: _numpy(self.region(name)) for name in self._regions},
            landmarks={name: self.landmark_points(name) for name in self._landmark_sets},
        )

    def subset(
        self, n_identity: int | None = None, n_expression: int | None = None, n_albedo: int | None = None
    ) -> MorphableModel:
        """A model that keeps the first components of each block; ``None`` keeps all of a block.

        Raises:
            ValueError: more components asked for than there are, or a negative number.
        """
        data = self.data()
        changes: dict[str, object] = {}
        for block, wanted in (("identity", n_identity), ("expression", n_expression), ("albedo", n_albedo)):
            basis = getattr(data, f"{block}_basis")
            if wanted is None:
                continue
            if not 0 <= wanted <= basis.shape[-1]:
                raise ValueError(f"model {self.name!r} has {basis.shape[-1]} {block} components, {wanted} asked for")
            changes[f"{block}_basis"] = basis[..., :wanted]
        if n_expression is not None:
            changes["expression_names"] = data.expression_names[:n_expression]
        return self._like(dataclasses.replace(data, **changes))  # type: ignore[arg-type]

    def crop(self, region: str | Bool[Tensor, " v"]) -> MorphableModel:
        """A model of the triangles whose three corners lie in a region (a name or a vertex mask).

        Landmark sets that would lose a point are left out of the result.

        Raises:
            KeyError: the model has no region of that name.
            ValueError: a mask of another length, or a region without a whole triangle.
        """
        data = self.data()
        keep = _numpy(self.region(region) if isinstance(region, str) else region).astype(bool)
        if keep.shape != (self.n_vertices,):
            raise ValueError(f"the mask has shape {keep.shape}, model {self.name!r} has {self.n_vertices} vertices")
        kept_faces = keep[data.faces].all(axis=1)
        if not kept_faces.any():
            what = f"region {region!r}" if isinstance(region, str) else f"the mask of {int(keep.sum())} vertices"
            raise ValueError(f"{what} of model {self.name!r} holds no whole triangle")
        cropped = data.on_faces(data.faces[kept_faces], np.nonzero(kept_faces)[0])
        if len(data.uv):
            used, flat = np.unique(data.uv_faces[kept_faces], return_inverse=True)
            cropped = dataclasses.replace(cropped, uv=data.uv[used], uv_faces=flat.reshape(-1, 3))
        return self._like(cropped)

    def with_landmarks(self, name: str, points: SurfacePoints) -> MorphableModel:
        """A model with one more named landmark set."""
        data = self.data()
        return self._like(dataclasses.replace(data, landmarks={**data.landmarks, name: points}))

    def extra_repr(self) -> str:
        return (
            f"{self.name!r}, vertices={self.n_vertices}, faces={len(self.faces)}, identity={self.n_identity}, "
            f"expression={self.n_expression}, albedo={self.n_albedo}"
        )

    def _like(self, data: ModelData) -> MorphableModel:
        return MorphableModel(data).to(device=self.mean_shape.device, dtype=self.mean_shape.dtype)

    def _points(self, name: str) -> tuple[Tensor, Tensor]:
        if name not in self._landmark_sets:
            known = ", ".join(self._landmark_sets) or "none"
            raise KeyError(f"model {self.name!r} has no landmark set {name!r}; it has: {known}")
        return getattr(self, f"_corners_{name}"), getattr(self, f"_weights_{name}")

    def _checked(self, block: str, coefficients: Tensor, basis: Tensor) -> Tensor:
        if coefficients.ndim != 2 or coefficients.shape[1] != basis.shape[0]:
            raise CoefficientError(
                f"model {self.name!r} takes {block} coefficients (B, {basis.shape[0]}), got {tuple(coefficients.shape)}"
            )
        if not torch.compiler.is_compiling() and coefficients.device.type == "cpu":
            finite = torch.isfinite(coefficients)
            if not bool(finite.all()):
                row, column = torch.nonzero(~finite)[0].tolist()
                value = coefficients[row, column].item()
                raise CoefficientError(f"{block} coefficient [{row}, {column}] is {value}; it must be finite")
        return coefficients.to(basis.dtype)


def _rows(basis: np.ndarray) -> np.ndarray:
    """``(V, 3, K)`` to ``(K, 3V)``: one matrix product then gives all vertices."""
    return np.asarray(basis).reshape(basis.shape[0] * 3, basis.shape[-1]).T


def _columns(rows: Tensor, n_vertices: int) -> np.ndarray:
    return np.ascontiguousarray(_numpy(rows).T).reshape(n_vertices, 3, rows.shape[0])


def _numpy(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()

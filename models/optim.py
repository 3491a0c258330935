"""Optimizers and schedules.

Muon (Jordan et al., 2024): the momentum of a weight matrix is replaced by the nearest semi-orthogonal matrix, found by
five Newton-Schulz steps, so that every direction of the matrix learns at the same speed. It takes the matrices inside
the blocks; embeddings and norms always go to AdamW.
"""

import math

import torch

# Quintic Newton-Schulz coefficients of the Muon write-up: singular values in (0, 1] go to about 1 in five steps.
NS = (3.4445, -4.7750, 2.0315)


def orthogonalize(g, steps=5):
    """g [n, rows, cols] -> about U V^T of each matrix."""
    x = g.to(torch.bfloat16 if g.is_cuda else torch.float32)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = NS[0] * x + (NS[1] * a + NS[2] * a @ a) @ x
    return (x.mT if tall else x).to(g.dtype)


class Muon:
    """Matrices of equal shape are stacked: one batched iteration per shape instead of one per matrix."""

    def __init__(self, parameters, lr, momentum=0.95, weight_decay=0.0):
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        shapes = {}
        for p in parameters:
            shapes.setdefault(tuple(p.shape), []).append(p)
        self.groups = list(shapes.values())
        self.buffers = [torch.zeros(len(g), *g[0].shape, device=g[0].device) for g in self.groups]

    @torch.no_grad()
    def step(self, scale):
        lr = self.lr * scale
        for group, buffer in zip(self.groups, self.buffers):
            grad = torch.stack([p.grad for p in group]).float()
            buffer.lerp_(grad, 1 - self.momentum)
            rows, cols = buffer.shape[-2:]
            update = orthogonalize(grad.lerp(buffer, self.momentum)) * math.sqrt(max(1.0, rows / cols))
            torch._foreach_mul_(group, 1 - lr * self.weight_decay)
            torch._foreach_add_(group, list(update.unbind()), alpha=-lr)

    def state_dict(self):
        return {"buffers": self.buffers}

    def load_state_dict(self, state):
        for mine, saved in zip(self.buffers, state["buffers"], strict=True):
            mine.copy_(saved)


class Optimizer:
    """AdamW for everything, or AdamW + Muon. `step(scale)` takes the schedule's factor."""

    def __init__(self, model, t):
        matrices = model.hidden_matrices()
        inside = {id(p) for p in matrices}
        rest = [p for p in model.parameters() if id(p) not in inside]
        self.muon = None
        decayed = [p for p in rest if p.ndim == 2]
        if t["optimizer"] == "muon":
            self.muon = Muon(matrices, t["muon_lr"], weight_decay=t["muon_weight_decay"])
        elif t["optimizer"] == "adamw":
            decayed += matrices
        else:
            raise ValueError(f"optimizer {t['optimizer']!r}: must be 'adamw' or 'muon'")
        plain = [p for p in rest if p.ndim != 2]
        self.lr = t["lr"]
        self.adam = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": t["weight_decay"]}, {"params": plain, "weight_decay": 0.0}],
            lr=self.lr, betas=tuple(t["betas"]), eps=1e-10, fused=decayed[0].is_cuda,
        )

    def step(self, scale):
        for group in self.adam.param_groups:
            group["lr"] = self.lr * scale
        self.adam.step()
        if self.muon:
            self.muon.step(scale)

    def zero_grad(self):
        self.adam.zero_grad(set_to_none=True)
        if self.muon:
            for group in self.muon.groups:
                for p in group:
                    p.grad = None

    def state_dict(self):
        return {"adam": self.adam.state_dict(), "muon": self.muon.state_dict() if self.muon else None}

    def load_state_dict(self, state):
        self.adam.load_state_dict(state["adam"])
        if self.muon:
            self.muon.load_state_dict(state["muon"])


def schedule(step, t):
    """The factor on every learning rate at `step` (0-based): linear warm-up, then 'cosine', 'linear' or 'wsd' to 0."""
    total, warm = t["steps"], t["warmup"]
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, total - warm)
    kind = t["schedule"]
    if kind == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if kind == "linear":
        return 1 - done
    if kind == "wsd":  # warm-up, stable, then a linear decay over the last part
        return min(1.0, (1 - done) / t["decay_part"])
    raise ValueError(f"schedule {kind!r}: must be 'cosine', 'linear' or 'wsd'")

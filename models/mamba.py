"""Mamba (Gu and Dao 2023): each layer is a gated, selective recurrence over a state of fixed size.

  [u | z] = W_in norm(x);  u = silu(conv u);  [dt B C] = W_x u;  dt = softplus(W_dt dt + b)
  h_t = exp(dt_t A) h_(t-1) + dt_t u_t B_t;  y_t = C_t h_t + D u_t;  x += W_out (y silu(z))

The scan is a Triton kernel on a GPU (one program per sequence and group of channels, states kept for the backward pass)
and a plain loop elsewhere; `TRITON_INTERPRET=1 python mamba.py` compares the two, gradients included, without a GPU.
"""

import math
import os

import torch
import torch.nn.functional as F
from torch import nn

from decoder import RMSNorm, copy_tensors, matrix

try:
    import triton
    import triton.language as tl
except ImportError:  # no GPU: the loop will do
    triton = None


def scan_loop(u, dt, a, b, c):
    """u, dt [batch, time, channels]; a [channels, state]; b, c [batch, time, state] -> y like u."""
    h = torch.zeros(u.shape[0], u.shape[2], a.shape[1], dtype=torch.float32, device=u.device)
    out = []
    for t in range(u.shape[1]):
        d = dt[:, t, :, None]
        h = torch.exp(d * a) * h + d * u[:, t, :, None] * b[:, t, None, :]
        out.append((h * c[:, t, None, :]).sum(-1))
    return torch.stack(out, 1)


if triton:

    @triton.jit
    def forward_kernel(u, dt, a, b, c, y, states, D, T: tl.constexpr, N: tl.constexpr, BLOCK: tl.constexpr):
        i, d = tl.program_id(0), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        n = tl.arange(0, N)
        inside = d < D
        rate = tl.load(a + d[:, None] * N + n[None, :], mask=inside[:, None], other=0.0)
        h = tl.zeros((BLOCK, N), dtype=tl.float32)
        for t in range(T):
            row = (i * T + t) * D + d
            step = tl.load(dt + row, mask=inside, other=0.0)
            x = tl.load(u + row, mask=inside, other=0.0)
            bt, ct = tl.load(b + (i * T + t) * N + n), tl.load(c + (i * T + t) * N + n)
            h = tl.exp(step[:, None] * rate) * h + (step * x)[:, None] * bt[None, :]
            tl.store(y + row, tl.sum(h * ct[None, :], 1), mask=inside)
            tl.store(states + row.to(tl.int64)[:, None] * N + n[None, :], h, mask=inside[:, None])

    @triton.jit
    def backward_kernel(u, dt, a, b, c, states, dy, du, ddt, da, db, dc, D, blocks, T: tl.constexpr, N: tl.constexpr, BLOCK: tl.constexpr):
        i, j = tl.program_id(0), tl.program_id(1)
        d, n = j * BLOCK + tl.arange(0, BLOCK), tl.arange(0, N)
        inside = d < D
        rate = tl.load(a + d[:, None] * N + n[None, :], mask=inside[:, None], other=0.0)
        g = tl.zeros((BLOCK, N), dtype=tl.float32)  # the gradient that reaches h_t from later steps
        rate_grad = tl.zeros((BLOCK, N), dtype=tl.float32)
        for back in range(T):
            t = T - 1 - back
            row = (i * T + t) * D + d
            at = row.to(tl.int64)[:, None] * N + n[None, :]
            step = tl.load(dt + row, mask=inside, other=0.0)
            x = tl.load(u + row, mask=inside, other=0.0)
            grad = tl.load(dy + row, mask=inside, other=0.0)
            bt, ct = tl.load(b + (i * T + t) * N + n), tl.load(c + (i * T + t) * N + n)
            h = tl.load(states + at, mask=inside[:, None], other=0.0).to(tl.float32)
            before = tl.load(states + at - D * N, mask=inside[:, None] & (t > 0), other=0.0).to(tl.float32)
            g += grad[:, None] * ct[None, :]
            decay = tl.exp(step[:, None] * rate)
            through = g * before * decay
            rate_grad += through * step[:, None]
            gb = tl.sum(g * bt[None, :], 1)
            tl.store(ddt + row, tl.sum(through * rate, 1) + gb * x, mask=inside)
            tl.store(du + row, gb * step, mask=inside)
            part = ((i * T + t) * blocks + j) * N + n
            tl.store(db + part, tl.sum(g * (step * x)[:, None], 0))
            tl.store(dc + part, tl.sum(h * grad[:, None], 0))
            g = g * decay
        tl.store(da + (i * D + d[:, None]) * N + n[None, :], rate_grad, mask=inside[:, None])

    class Scan(torch.autograd.Function):
        BLOCK = 64

        @staticmethod
        def forward(ctx, u, dt, a, b, c):
            u, dt, a, b, c = (v.float().contiguous() for v in (u, dt, a, b, c))
            (batch, time, channels), size = u.shape, a.shape[1]
            y = torch.empty_like(u)
            states = torch.empty(batch, time, channels, size, dtype=torch.bfloat16 if u.is_cuda else torch.float32, device=u.device)
            forward_kernel[(batch, triton.cdiv(channels, Scan.BLOCK))](u, dt, a, b, c, y, states, channels, T=time, N=size, BLOCK=Scan.BLOCK, num_warps=4)
            ctx.save_for_backward(u, dt, a, b, c, states)
            return y

        @staticmethod
        def backward(ctx, dy):
            u, dt, a, b, c, states = ctx.saved_tensors
            (batch, time, channels), size = u.shape, a.shape[1]
            blocks = triton.cdiv(channels, Scan.BLOCK)
            du, ddt = torch.empty_like(u), torch.empty_like(u)
            da = torch.empty(batch, channels, size, device=u.device)
            db, dc = (torch.empty(batch, time, blocks, size, device=u.device) for _ in range(2))
            backward_kernel[(batch, blocks)](
                u, dt, a, b, c, states, dy.float().contiguous(), du, ddt, da, db, dc, channels, blocks, T=time, N=size, BLOCK=Scan.BLOCK, num_warps=4
            )
            return du, ddt, da.sum(0), db.sum(2), dc.sum(2)


@torch.compiler.disable
def scan(u, dt, a, b, c):
    return Scan.apply(u, dt, a, b, c) if u.is_cuda else scan_loop(u.float(), dt.float(), a.float(), b.float(), c.float())


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, inner, state, rank, taps, std = c["d_model"], c["d_inner"], c["d_state"], c["dt_rank"], c["d_conv"], c["init_std"]
        self.state, self.rank, self.taps = state, rank, taps
        self.attn_norm = RMSNorm(d, c["norm_eps"])
        self.ssm_in = matrix(2 * inner, d, std)
        self.conv, self.conv_bias = nn.Parameter((torch.rand(inner, taps) * 2 - 1) / math.sqrt(taps)), nn.Parameter(torch.zeros(inner))
        self.ssm_x = matrix(rank + 2 * state, inner, std)
        self.ssm_dt = nn.Parameter((torch.rand(inner, rank) * 2 - 1) / math.sqrt(rank))
        steps = torch.exp(torch.rand(inner) * (math.log(0.1) - math.log(0.001)) + math.log(0.001))  # as the paper's code: 0.001 to 0.1
        self.dt_bias = nn.Parameter(steps + torch.log(-torch.expm1(-steps)))  # softplus's inverse
        self.a_log = nn.Parameter(torch.log(torch.arange(1, state + 1, dtype=torch.float32).repeat(inner, 1)))
        self.skip = nn.Parameter(torch.ones(inner))
        self.ssm_out = matrix(d, inner, std / math.sqrt(c["n_layer"]))

    def forward(self, x):
        u, z = F.linear(self.attn_norm(x), self.ssm_in).chunk(2, -1)
        u = F.conv1d(F.pad(u.transpose(1, 2), (self.taps - 1, 0)), self.conv[:, None].to(u.dtype), self.conv_bias.to(u.dtype), groups=u.shape[-1])
        u = F.silu(u.transpose(1, 2))
        dt, b, c = F.linear(u, self.ssm_x).split([self.rank, self.state, self.state], -1)
        dt = F.softplus(F.linear(dt, self.ssm_dt).float() + self.dt_bias)
        y = scan(u, dt, -torch.exp(self.a_log.float()), b, c) + self.skip * u.float()
        return x + F.linear(y.to(z.dtype) * F.silu(z), self.ssm_out)


class Mamba(nn.Module):
    architecture = "mamba"

    def __init__(self, config, vocab_size):
        super().__init__()
        c = {"norm_eps": 1e-5, "init_std": 0.02, "d_state": 16, "d_conv": 4, **config}
        c.setdefault("d_inner", 2 * c["d_model"])
        c.setdefault("dt_rank", -(-c["d_model"] // 16))
        self.config, self.vocab_size = c, vocab_size
        self.token_embd = matrix(vocab_size, c["d_model"], c["init_std"])
        self.blk = nn.ModuleList(Layer(c) for _ in range(c["n_layer"]))
        self.output_norm = RMSNorm(c["d_model"], c["norm_eps"])

    def forward(self, ids):
        x = F.embedding(ids, self.token_embd)
        for layer in self.blk:
            x = layer(x)
        return F.linear(self.output_norm(x), self.token_embd)

    def hidden_matrices(self):
        return [p for b in self.blk for p in (b.ssm_in, b.ssm_out)]

    def gguf_tensors(self):
        """A is stored as -exp(a_log), as in llama.cpp's files."""
        yield "token_embd.weight", self.token_embd
        yield "output_norm.weight", self.output_norm.weight
        for i, b in enumerate(self.blk):
            p = f"blk.{i}."
            yield p + "attn_norm.weight", b.attn_norm.weight
            yield p + "ssm_in.weight", b.ssm_in
            yield p + "ssm_conv1d.weight", b.conv
            yield p + "ssm_conv1d.bias", b.conv_bias
            yield p + "ssm_x.weight", b.ssm_x
            yield p + "ssm_dt.weight", b.ssm_dt
            yield p + "ssm_dt.bias", b.dt_bias
            yield p + "ssm_a", -torch.exp(b.a_log)
            yield p + "ssm_d", b.skip
            yield p + "ssm_out.weight", b.ssm_out

    keep_float = ("ssm_conv1d", "ssm_a", "ssm_d", "ssm_dt", "ssm_x")

    def load_gguf(self, tensors):
        with torch.no_grad():
            copy_tensors(dict(self.gguf_tensors()), tensors)
            for i, b in enumerate(self.blk):
                b.a_log.copy_(torch.log(-torch.from_numpy(tensors[f"blk.{i}.ssm_a"])))

    def gguf_metadata(self):
        c = self.config
        return {
            "mamba.context_length": c["context"],
            "mamba.embedding_length": c["d_model"],
            "mamba.block_count": c["n_layer"],
            "mamba.feed_forward_length": 0,
            "mamba.attention.head_count": 0,
            "mamba.ssm.conv_kernel": c["d_conv"],
            "mamba.ssm.inner_size": c["d_inner"],
            "mamba.ssm.state_size": c["d_state"],
            "mamba.ssm.time_step_rank": c["dt_rank"],
            "mamba.attention.layer_norm_rms_epsilon": float(c["norm_eps"]),
            "mamba.vocab_size": self.vocab_size,
        }


def compare():
    """Kernel and loop agree, values and gradients (run with TRITON_INTERPRET=1 where there is no GPU)."""
    torch.manual_seed(1)
    device = "cpu" if os.environ.get("TRITON_INTERPRET") else "cuda"
    shapes = [(2, 7, 70), (2, 7, 70), (70, 4), (2, 7, 4), (2, 7, 4)]
    values = [torch.randn(*s, device=device) for s in shapes]
    values[1], values[2] = F.softplus(values[1]), -torch.exp(values[2])
    weight = torch.randn(2, 7, 70, device=device)
    results = []
    for run in (scan_loop, Scan.apply):
        inputs = [v.clone().requires_grad_() for v in values]
        y = run(*inputs)
        (y * weight).sum().backward()
        results.append([y.detach()] + [v.grad for v in inputs])
    gaps = [((x - y).abs().max() / x.abs().max()).item() for x, y in zip(*results)]
    print("relative differences of y and the gradients of u, dt, a, b, c:", " ".join(f"{g:.1e}" for g in gaps))
    if max(gaps) > (1e-5 if device == "cpu" else 2e-2):
        raise SystemExit("the kernel and the loop differ")


if __name__ == "__main__":
    compare()

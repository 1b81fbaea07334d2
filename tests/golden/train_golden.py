"""train_golden.py - what training the network of tests/support/tiny_model.c must give, by numpy alone.

An implementation of its own, in double precision, of a forward and backward pass, a QEM step with its moving
average, snapped bases, and SGD with Nesterov momentum. Its output is tests/golden/train.txt, which
tests/unit/test_train_golden.c compares with the trainer:

    /usr/bin/python3 tests/golden/train_golden.py > tests/golden/train.txt

Every number that training starts from comes from a linear congruence that both sides run.
"""
import numpy as np

BATCH, SIDE, CHANNELS, CLASSES, BITS, STEPS = 16, 8, 8, 4, 2, 20
RATE, MOMENTUM, DECAY, SMOOTHING = 0.05, 0.9, 1e-3, 0.1
WEIGHT_GRID, ACTIVATION_GRID, EPSILON = 14, 31, float(np.float32(1e-5))


class Stream:
    def __init__(self):
        self.x = 12345

    def draw(self, shape, mean, spread):
        out = np.empty(int(np.prod(shape)))
        for i in range(out.size):
            self.x = (self.x * 1664525 + 1013904223) % 2**32
            out[i] = np.float32(mean + spread * ((self.x >> 8) / 2**23 - 1))
        return out.reshape(shape)


def columns(x):
    """Windows 3x3 with padding 1: [batch, height, width, 9 * channels]."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    h, w = x.shape[1:3]
    return np.concatenate([padded[:, i:i + h, j:j + w] for i in range(3) for j in range(3)], axis=3)


def conv(x, w):
    return columns(x) @ w.reshape(w.shape[0], -1).T


def conv_back(x, w, d):
    rows, k = w.shape[0], x.shape[3]
    d_w = d.reshape(-1, rows).T @ columns(x).reshape(-1, 9 * k)
    d_columns = (d @ w.reshape(rows, -1)).reshape(d.shape[:3] + (3, 3, k))
    d_padded = np.zeros((x.shape[0], x.shape[1] + 2, x.shape[2] + 2, k))
    for i in range(3):
        for j in range(3):
            d_padded[:, i:i + x.shape[1], j:j + x.shape[2]] += d_columns[:, :, :, i, j]
    return d_w.reshape(w.shape), d_padded[:, 1:-1, 1:-1]


def norm(x, gamma, beta):
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    hat = (x - mean) / np.sqrt(var + EPSILON)
    return gamma * hat + beta, (hat, var, mean)


def norm_back(d, gamma, kept):
    hat, var, _ = kept
    d_gamma, d_beta = (d * hat).sum((0, 1, 2)), d.sum((0, 1, 2))
    n = d.size / d.shape[3]
    return gamma / np.sqrt(var + EPSILON) * (d - d_beta / n - hat * d_gamma / n), d_gamma, d_beta


def bits_of(kind):
    codes = np.array([[c >> i & 1 for i in range(BITS)] for c in range(2**BITS)], float)
    return 2 * codes - 1 if kind == 'signed' else codes


def snap(kind, basis, grid):
    """The integers times one scale whose levels are closest to those of the basis."""
    top, best = np.abs(basis).sum(), None
    for at in range(31):
        steps = grid * (0.85 + 0.15 * at / 30)
        scale, integers = float(np.float32(top / steps)), np.rint(basis * steps / top)
        error = ((bits_of(kind) @ (integers * scale - basis))**2).sum()
        if 0 < np.abs(integers).sum() <= grid and (best is None or error < best[0]):
            best = (error, integers * scale)
    return best[1]


def encode(kind, v, x):
    """Each value's nearest level: its bits, and the level."""
    levels, codes = bits_of(kind) @ v, bits_of(kind)
    order = np.argsort(levels, kind='stable')
    levels, codes = levels[order], codes[order]
    at = np.searchsorted((levels[1:] + levels[:-1]) / 2, x, side='left')
    return codes[at], levels[at], levels[-1]


def qem(kind, v, codes, x):
    """One alternation: the least-squares basis for fixed codes; a ridge for weights."""
    b, ridge = codes.reshape(-1, BITS), 1e-4 if kind == 'signed' else 0
    return np.linalg.solve(b.T @ b + ridge * np.eye(BITS), b.T @ x.reshape(-1) + ridge * v)


class Average:
    """Zero-debiased, factor 0.9."""
    def __init__(self):
        self.biased, self.weight = np.zeros(BITS), 0

    def move(self, estimate):
        self.biased = 0.9 * self.biased + 0.1 * estimate
        self.weight = 0.9 * self.weight + 0.1
        return self.biased / self.weight


def show(name, values):
    print(name, np.size(values), ' '.join('%.9g' % v for v in np.ravel(values)))


def run(p, weights, a_snapped):
    """A step's losses and gradients with these levels of conv2's weights, and what its bases learn from."""
    z1 = conv(x, p['conv1.weight']) + p['conv1.bias']
    n1, kept1 = norm(z1, p['bn1.gamma'], p['bn1.beta'])
    r1 = np.maximum(n1, 0)
    codes, q, top = encode('unsigned', a_snapped, r1)
    z2 = conv(q, weights)
    n2, kept2 = norm(z2, p['bn2.gamma'], p['bn2.beta'])
    r2 = np.maximum(n2, 0)
    pooled = r2.mean((1, 2))
    logits = pooled @ p['linear.weight'].T + p['linear.bias']
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    target = np.full((BATCH, CLASSES), SMOOTHING / CLASSES)
    target[np.arange(BATCH), labels] += 1 - SMOOTHING
    loss = -(target * log_p).sum() / BATCH
    d = (np.exp(log_p) - target) / BATCH
    g = {'linear.weight': d.T @ pooled, 'linear.bias': d.sum(0)}
    d = (d @ p['linear.weight'])[:, None, None, :] / SIDE**2 * (r2 > 0)
    d, g['bn2.gamma'], g['bn2.beta'] = norm_back(d, p['bn2.gamma'], kept2)
    g['conv2.weight'], d_q = conv_back(q, weights, d)
    d = d_q * (r1 > 0) * (r1 <= top)
    d, g['bn1.gamma'], g['bn1.beta'] = norm_back(d, p['bn1.gamma'], kept1)
    g['conv1.weight'], _ = conv_back(x, p['conv1.weight'], d)
    g['conv1.bias'] = d.sum((0, 1, 2))
    return loss, logits, g, (r1, codes, d_q, top), (kept1, kept2)


def show_uniform(p, activation_basis, a_snapped):
    """Bases of the uniform quantizers of DoReFa-Net and PACT after a step at rate 0.5."""
    basis = np.abs(p['conv2.weight']).max() / (2**BITS - 1) * 2**np.arange(BITS)
    _, weights, _ = encode('signed', snap('signed', basis, WEIGHT_GRID), p['conv2.weight'])
    _, _, _, (r1, _, d_q, top), _ = run(p, weights, a_snapped)
    learned = activation_basis.sum()
    learned -= 0.5 * (d_q[r1 >= top].sum() + DECAY * learned)
    show('uniform.conv2.basis', np.tile(basis, (CHANNELS, 1)))
    show('uniform.conv2.input.basis', learned / (2**BITS - 1) * 2**np.arange(BITS))


stream = Stream()
x = stream.draw((BATCH, SIDE, SIDE, 3), 0, 1)
p = {'conv1.weight': stream.draw((CHANNELS, 3, 3, 3), 0, 0.5), 'conv1.bias': stream.draw(CHANNELS, 0, 0.1),
     'bn1.gamma': stream.draw(CHANNELS, 1, 0.3), 'bn1.beta': stream.draw(CHANNELS, 0.2, 0.3),
     'conv2.weight': stream.draw((CHANNELS, 3, 3, CHANNELS), 0, 0.3),
     'bn2.gamma': stream.draw(CHANNELS, 1, 0.3), 'bn2.beta': stream.draw(CHANNELS, 0.2, 0.3),
     'linear.weight': stream.draw((CLASSES, CHANNELS), 0, 0.5), 'linear.bias': stream.draw(CLASSES, 0, 0.1)}
weight_bases = np.stack([stream.draw(CHANNELS, 0.08, 0.03), stream.draw(CHANNELS, 0.17, 0.03)], axis=1)
activation_basis = np.concatenate([stream.draw(1, 0.5, 0.1), stream.draw(1, 1.0, 0.1)])
labels = np.arange(BATCH) % CLASSES
weight_averages, activation_average = [Average() for _ in range(CHANNELS)], Average()
velocity = {name: np.zeros_like(v) for name, v in p.items()}
losses = []
first_bases = weight_bases.copy(), activation_basis.copy()
for step in range(STEPS):
    snapped = np.stack([snap('signed', v, WEIGHT_GRID) for v in weight_bases])
    weights = np.empty_like(p['conv2.weight'])
    for row in range(CHANNELS):
        codes, weights[row], _ = encode('signed', snapped[row], p['conv2.weight'][row])
        weight_bases[row] = weight_averages[row].move(qem('signed', snapped[row], codes, p['conv2.weight'][row]))
    a_snapped = snap('unsigned', activation_basis, ACTIVATION_GRID)
    loss, logits, g, (r1, codes, d_q, _), (kept1, kept2) = run(p, weights, a_snapped)
    losses.append(loss)
    if step == 0:
        show_uniform(p, activation_basis, a_snapped)
    activation_basis = activation_average.move(qem('unsigned', a_snapped, codes, r1))
    if step == 0:  # what a basis would become by its gradient instead, at rate 0.5
        g_rows = np.einsum('rn,rnb->rb', g['conv2.weight'].reshape(CHANNELS, -1),
                           np.stack([encode('signed', snapped[r], p['conv2.weight'][r])[0].reshape(-1, BITS)
                                     for r in range(CHANNELS)]))
        show('stepped.conv2.basis', first_bases[0] - 0.5 * g_rows / np.sqrt(9 * CHANNELS * (2**BITS - 1)))
        show('stepped.conv2.input.basis',
             first_bases[1] - 0.5 * np.einsum('byxc,byxck->k', d_q, codes) / np.sqrt(codes.size / BITS * (2**BITS - 1)))
        show('logits', logits)
        for name in p:
            show('d.' + name, g[name])
        show('conv2.basis', weight_bases)
        show('conv2.input.basis', activation_basis)
        n = BATCH * SIDE**2
        for name, kept in (('bn1', kept1), ('bn2', kept2)):  # from 0 and 1
            show(name + '.mean', 0.1 * kept[2])
            show(name + '.variance', 0.9 + 0.1 * kept[1] * n / (n - 1))
    for name in p:
        gradient = g[name] + (DECAY * p[name] if name.endswith('.weight') else 0)
        velocity[name] = MOMENTUM * velocity[name] + gradient
        p[name] = p[name] - RATE * (gradient + MOMENTUM * velocity[name])
    if step == 0:
        for name in p:
            show('value.' + name, p[name])
show('losses', losses)

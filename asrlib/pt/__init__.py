"""PyTorch models, s3prl upstreams, fine-tuning and decoding with ESPnet."""

import warnings

# Deprecations and missing optional parts that these packages warn of on import and in training
warnings.filterwarnings("ignore", module=r"(s3prl|torchaudio|tacotron_cleaner|espnet|espnet2)\b.*")
warnings.filterwarnings("ignore", category=SyntaxWarning)
warnings.filterwarnings("ignore", message=r".*(torch\.cuda\.amp|set_audio_backend|pkg_resources).*")

from asrlib.pt.delayed_imports import delay  # noqa: E402

delay()

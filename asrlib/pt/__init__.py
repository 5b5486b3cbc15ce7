"""The room of PyTorch, s3prl and ESPnet."""

import warnings

# What these packages say on import and in training of their own future and of optional parts
warnings.filterwarnings("ignore", module=r"(s3prl|torchaudio|tacotron_cleaner|espnet|espnet2)\b.*")
warnings.filterwarnings("ignore", category=SyntaxWarning)
warnings.filterwarnings("ignore", message=r".*(torch\.cuda\.amp|set_audio_backend|pkg_resources).*")

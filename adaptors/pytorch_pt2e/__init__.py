"""The PyTorch 2 export route: torch.export, X86 Inductor quantization, AOTInductor."""

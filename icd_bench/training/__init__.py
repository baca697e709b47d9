"""Training: losses and tasks, one loop, and the recipes that use them.

===============  ===================================================================
``losses``       invertible consistency distillation as pure functions
``icd``          both adapters of a timestep set: four losses, two schedules
``cfg_distill``  guidance distillation into a w-embedded U-Net
``lcm``          a latent consistency LoRA
``denoiser``     text encoder and U-Net by noise prediction
``batch``        what a step draws, and each process's share of it
``prediction``   how a U-Net is asked
``adapters``     LoRAs on one U-Net, switched, with the released keys
``loop``         one seeded, logged, resumable loop; a stage is a ``Task``
``machine``      where its losses are computed: threads of a process
``processes``    .. or the processes of ``accelerate launch``
``data``         captioned pictures of one's own, streamed
``pipelines``    training of Stable Diffusion 1.x and XL: ``icd-bench train icd``
``scenes``       the recipe of the embedded model: ``icd-bench train scenes``
===============  ===================================================================

Everything random in a step is a function of (seed, step), so a killed run that continues ends with
the same weights.
"""

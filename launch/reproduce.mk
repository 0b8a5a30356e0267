# The commands of launch/reproduce.sh, which calls make with this file. A training leaves the stamp
# .done in its run folder, a study logs/NAME.done in its workdir, and neither runs again while that
# lies there. In the environment: FLAGS, of every training; SETTINGS, a file that changes with the
# flags and the data; DATA, CBSD68, CIFAR10, PETS, CONTENTS, STYLES, PHOTOS, MNIST and FASHION_MNIST,
# folders; STEPS, of imagenet-zoo's searches.
SHELL := bash
comma := ,
quoted = '$(1)'$(comma)
# A tuple of what a list of `quoted` words holds.
tuple = "($(subst $() ,,$(1)))"
train = python -m rrjax.train
study = python -m rrjax.study
logged = @bash launch/logged.sh $@ $(1)

.PHONY: small seeds cifar10 ladder rin64 imagenet-zoo gradients gradients-paper gradients-networks \
  paper decoders

# The trainings of the first paper's studies on digits, and those studies.
REPRESENTATIONS := inversion proximity interpolation visualization regularized manipulation \
  activations synthesis transfer
networks = --config.standard=$(1)/standard --config.robust=$(1)/robust
trained = $(1)/robust/.done $(1)/standard/.done

define digits # OUT, FLAGS
$(call trained,$(1)): $(1)/%/.done: $(SETTINGS)
	$$(call logged,$(1)/logs/$$*.log) $(train) --config=configs/$$*_digits.py \
	  --workdir=$(1)/$$* $(2) $$(FLAGS)
$(1)/logs/accuracy.done: $(call trained,$(1))
	$$(call logged,$(1)/logs/accuracy.log) python -m rrjax.evaluate --config=configs/evaluate.py \
	  --workdir=$(1) --config.n=128 $(call networks,$(1))
$(REPRESENTATIONS:%=$(1)/logs/%.done): $(1)/logs/%.done: $(call trained,$(1))
	$$(call logged,$(1)/logs/$$*.log) $(study) --config=configs/$$*.py --workdir=$(1) \
	  $(call networks,$(1))
endef
representations = $(patsubst %,$(1)/logs/%.done,accuracy $(REPRESENTATIONS))

# small: on digits, two trainings and every study.
S := runs/small
$(eval $(call digits,$(S)))

$(S)/vaegan/.done: $(SETTINGS)
	$(call logged,$(S)/logs/vaegan.log) $(train) --config=configs/vaegan_digits.py \
	  --config.epochs=30 --workdir=$(S)/vaegan

$(S)/logs/boundary.done: $(SETTINGS)
	$(call logged,$(S)/logs/boundary.log) $(study) --config=configs/boundary.py --workdir=$(S)

$(S)/logs/masking.done: $(call trained,$(S))
	$(call logged,$(S)/logs/masking.log) $(study) --config=configs/masking.py --workdir=$(S) \
	  --config.networks="('$(S)/standard','$(S)/robust')" --config.source=$(S)/standard

$(S)/logs/retraining.done: $(call trained,$(S))
	$(call logged,$(S)/logs/retraining.log) $(study) --config=configs/retraining.py \
	  --workdir=$(S) $(call networks,$(S)) --config.seeds="(0,)"

$(S)/logs/manifold.done: $(call trained,$(S)) $(S)/vaegan/.done
	$(call logged,$(S)/logs/manifold.log) $(study) --config=configs/manifold.py --workdir=$(S) \
	  $(call networks,$(S)) --config.manifold=$(S)/vaegan

decode_digits = $(train) --config=configs/autoencoder_digits.py --config.model.encoder=$(S)/$*
DECODERS := $(S)/standard_decoder/.done $(S)/robust_decoder/.done
DENOISERS := $(S)/standard_denoiser/.done $(S)/robust_denoiser/.done

$(DECODERS): $(S)/%_decoder/.done: $(S)/%/.done
	$(call logged,$(S)/logs/$*_decoder.log) $(decode_digits) --workdir=$(S)/$*_decoder

$(DENOISERS): $(S)/%_denoiser/.done: $(S)/%/.done
	$(call logged,$(S)/logs/$*_denoiser.log) $(decode_digits) --config.noise=50 \
	  --workdir=$(S)/$*_denoiser

# The decoder of one class: its flags.
one_class = --config.model.classes=1 --config.data.groups="(('$(1)',),)" \
  --config.data.group_names="('$(1)',)"

define small_one_class # ENCODER, CLASS
$(S)/one_class/$(1)_$(2)/.done: $(S)/$(1)/.done
	$$(call logged,$(S)/logs/$(1)_$(2).log) $(train) --config=configs/autoencoder_digits.py \
	  --workdir=$(S)/one_class/$(1)_$(2) --config.model.encoder=$(S)/$(1) $(call one_class,$(2)) \
	  --config.epochs=40
endef
SMALL_ONE_CLASS := $(foreach name,standard robust,$(foreach class,0 1 2,$(name)_$(class)))
$(foreach name,standard robust,$(foreach class,0 1 2,\
  $(eval $(call small_one_class,$(name),$(class)))))

$(S)/logs/anomaly.done: $(SMALL_ONE_CLASS:%=$(S)/one_class/%/.done)
	$(call logged,$(S)/logs/anomaly.log) $(study) --config=configs/anomaly.py --workdir=$(S) \
	  --config.root=$(S)/one_class

$(S)/logs/reconstruction.done $(S)/logs/generation.done: $(S)/logs/%.done: $(DECODERS)
	$(call logged,$(S)/logs/$*.log) $(study) --config=configs/$*.py --workdir=$(S) \
	  --config.standard=$(S)/standard_decoder --config.robust=$(S)/robust_decoder

$(S)/logs/denoising.done: $(DENOISERS)
	$(call logged,$(S)/logs/denoising.log) $(study) --config=configs/denoising.py --workdir=$(S) \
	  --config.networks="('$(S)/standard_denoiser','$(S)/robust_denoiser')"

# The trainings come first, which studies wait for.
$(S)/logs/claims.done: $(call trained,$(S)) $(S)/vaegan/.done $(S)/logs/boundary.done \
  $(call representations,$(S)) $(S)/logs/masking.done $(S)/logs/retraining.done $(DECODERS) \
  $(DENOISERS) $(patsubst %,$(S)/logs/%.done,manifold anomaly reconstruction generation denoising)
	$(call logged,$(S)/logs/claims.log) $(study) --config=configs/claims.py --workdir=$(S)

small: $(S)/logs/claims.done
	@echo "Look at $(S)/report.html"

# seeds: the first paper's studies with three seeds of both trainings.
SEEDS := runs/seeds/0 runs/seeds/1 runs/seeds/2
$(foreach seed,0 1 2,$(eval $(call digits,runs/seeds/$(seed),--config.seed=$(seed))))

runs/seeds/logs/claims.done: $(foreach out,$(SEEDS),$(call trained,$(out))) \
  $(foreach out,$(SEEDS),$(call representations,$(out)))
	$(call logged,runs/seeds/logs/claims.log) $(study) --config=configs/claims.py \
	  --workdir=runs/seeds --config.folders="('runs/seeds/0','runs/seeds/1','runs/seeds/2')"

seeds: runs/seeds/logs/claims.done
	@echo "Look at runs/seeds/report.html"

# cifar10: the pretrained models, decoders of them, and smaller networks of rising eps.
C := runs/cifar10_studies
D := $(C)/decoders
at_data = --config.data.path="$$DATA"
BOTH := standard robust_l2_eps025
CLASSES := airplane automobile bird cat deer dog frog horse ship truck

# The first paper's studies of two pretrained networks, and the verdicts on them.
define pretrained # OUT, STANDARD, ROBUST, EPS OF ITS TRAINING, RADII, IMAGES
$(1)/logs/accuracy.done: $(SETTINGS)
	$$(call logged,$(1)/logs/accuracy.log) python -m rrjax.evaluate --config=configs/evaluate.py \
	  --workdir=$(1) --config.standard=$(2) --config.robust=$(3) $$(at_data) \
	  --config.eps="($(strip $(5)))" --config.n=$(6)
$(REPRESENTATIONS:%=$(1)/logs/%.done): $(1)/logs/%.done: $(SETTINGS)
	$$(call logged,$(1)/logs/$$*.log) $(study) --config=configs/$$*.py --workdir=$(1) \
	  --config.standard=$(2) --config.robust=$(3) $$(at_data) $$(flags)
$(1)/logs/claims.done: $(call representations,$(1)) $(1)/logs/reconstruction.done
	$$(call logged,$(1)/logs/claims.log) $(study) --config=configs/claims.py --workdir=$(1) \
	  --config.eps=$(4)
endef

$(eval $(call pretrained,$(C),cifar10_standard,cifar10_robust_l2_eps05,0.5,\
  0.0$(comma)0.25$(comma)0.5$(comma)1.0,1000))
$(C)/logs/inversion.done $(C)/logs/proximity.done: flags := --config.n=64
$(C)/logs/interpolation.done: flags := --config.n=64 --config.points=5
$(C)/logs/visualization.done: flags := --config.units=16
$(C)/logs/synthesis.done: flags := --config.patch=10

# A decoder, trained for 390 steps: its command but for the encoder and the folder.
decoder = $(train) --config=configs/autoencoder_cifar10.py $(at_data) --config.epochs=1

step_size_0.0 := 0.625
step_size_0.25 := 0.3125
step_size_0.5 := 0.625
step_size_1.0 := 1.25
step_size_2.0 := 2.5
step_size_3.0 := 3.75
RADII := 0.0 0.25 0.5 1.0
BEYOND := 2.0 3.0
define rung # SEED, EPS: a network from scratch, and its decoder
$(C)/ladder/$(1)/eps_$(2)/.done: $(SETTINGS)
	$$(call logged,$(C)/logs/ladder_$(1)_eps_$(2).log) $(train) --config=configs/small_cifar10.py \
	  $$(at_data) --config.seed=$(1) --config.model.width=8 --config.epochs=1 \
	  --config.attack.eps=$(2) --config.attack.step_size=$(step_size_$(2)) \
	  --workdir=$(C)/ladder/$(1)/eps_$(2)
$(C)/ladder/$(1)/decoder_$(2)/.done: $(C)/ladder/$(1)/eps_$(2)/.done
	$$(call logged,$(C)/logs/ladder_$(1)_decoder_$(2).log) $$(decoder) \
	  --config.model.encoder=$(C)/ladder/$(1)/eps_$(2) --workdir=$(C)/ladder/$(1)/decoder_$(2) \
	  --config.seed=$(1)
endef
$(foreach seed,0 1 2,$(foreach eps,$(RADII) $(BEYOND),$(eval $(call rung,$(seed),$(eps)))))

define ladder # SEED, OUT, RADII: the study of its decoders
$(2)/logs/reconstruction.done: $(3:%=$(C)/ladder/$(1)/decoder_%/.done)
	$$(call logged,$(2)/logs/reconstruction.log) $(study) --config=configs/reconstruction.py \
	  --workdir=$(2) --config.standard=$(C)/ladder/$(1)/decoder_0.0 \
	  --config.robust=$(C)/ladder/$(1)/decoder_0.25 $$(at_data) --config.more=$(call tuple,\
	  $(foreach eps,$(wordlist 3,9,$(3)),$(call quoted,$(C)/ladder/$(1)/decoder_$(eps)))) \
	  --config.n=1000 --config.photographs=0 --config.searched=0
endef
$(foreach seed,0 1 2,$(eval $(call ladder,$(seed),$(C)/ladder/$(seed),$(RADII)))\
  $(eval $(call ladder,$(seed),$(C)/ladder/$(seed)/beyond,$(RADII) $(BEYOND))))

# ladder: that of cifar10 and what lies beyond it, where the decoders' images may get worse again.
ladder: $(foreach seed,0 1 2,$(C)/ladder/$(seed)/beyond/logs/reconstruction.done)
	@echo "Look at report.html in $(C)/ladder/0/beyond, 1 and 2"

define cifar10_decoder # ENCODER, SUFFIX, FLAGS
$(D)/$(1)_$(2)/.done: $(SETTINGS)
	$$(call logged,$(C)/logs/$(1)_$(2).log) $$(decoder) --config.model.encoder=cifar10_$(1) \
	  --workdir=$(D)/$(1)_$(2) $(3)
endef
$(foreach name,$(BOTH),$(foreach seed,0 1 2,\
  $(eval $(call cifar10_decoder,$(name),layer4_$(seed),--config.seed=$(seed)))))
$(foreach name,robust_l2_eps05 robust_l2_eps1,$(eval $(call cifar10_decoder,$(name),layer4_0)))
$(foreach name,$(BOTH),\
  $(eval $(call cifar10_decoder,$(name),denoiser,--config.model.stage=layer2 --config.noise=50))\
  $(eval $(call cifar10_decoder,$(name),layer2,--config.model.stage=layer2))\
  $(eval $(call cifar10_decoder,$(name),layer1,--config.model.stage=layer1)))

define cifar10_one_class # ENCODER, CLASS
$(C)/one_class/$(1)_$(2)/.done: $(SETTINGS)
	$$(call logged,$(C)/logs/one_class_$(1)_$(2).log) $(train) \
	  --config=configs/autoencoder_cifar10.py --workdir=$(C)/one_class/$(1)_$(2) \
	  --config.model.encoder=cifar10_$(1) $(call one_class,$(2)) $$(at_data) --config.epochs=1 \
	  --config.batch_size=64
endef
$(foreach name,$(BOTH),$(foreach class,$(CLASSES),\
  $(eval $(call cifar10_one_class,$(name),$(class)))))

define cifar10_seed # SEED
$(C)/seed_$(1)/logs/reconstruction.done: $(BOTH:%=$(D)/%_layer4_$(1)/.done)
	$$(call logged,$(C)/seed_$(1)/logs/reconstruction.log) $(study) \
	  --config=configs/reconstruction.py --workdir=$(C)/seed_$(1) \
	  --config.standard=$(D)/standard_layer4_$(1) $$(at_data) --config.n=1000 \
	  --config.robust=$(D)/robust_l2_eps025_layer4_$(1) --config.photographs=0 --config.searched=0
endef
$(foreach seed,1 2,$(eval $(call cifar10_seed,$(seed))))

LAYER4 := --config.standard=$(D)/standard_layer4_0 --config.robust=$(D)/robust_l2_eps025_layer4_0
$(C)/logs/reconstruction.done: $(BOTH:%=$(D)/%_layer4_0/.done) \
  $(D)/robust_l2_eps05_layer4_0/.done $(D)/robust_l2_eps1_layer4_0/.done
	$(call logged,$(C)/logs/reconstruction.log) $(study) --config=configs/reconstruction.py \
	  --workdir=$(C) $(LAYER4) $(at_data) --config.n=1000 \
	  --config.more="('$(D)/robust_l2_eps05_layer4_0','$(D)/robust_l2_eps1_layer4_0')"

$(C)/logs/generation.done: $(BOTH:%=$(D)/%_layer4_0/.done)
	$(call logged,$(C)/logs/generation.log) $(study) --config=configs/generation.py \
	  --workdir=$(C) $(LAYER4) $(at_data)

$(C)/logs/denoising.done: $(BOTH:%=$(D)/%_denoiser/.done)
	$(call logged,$(C)/logs/denoising.log) $(study) --config=configs/denoising.py --workdir=$(C) \
	  --config.lpips=alexnet \
	  --config.networks="('$(D)/standard_denoiser','$(D)/robust_l2_eps025_denoiser')" \
	  $(if $(CBSD68),--config.images="$$CBSD68" --config.n=0,$(at_data))

levels = ('$(D)/$(1)_layer4_0','$(D)/$(1)_layer2','$(D)/$(1)_layer1')
$(C)/logs/style.done: $(foreach name,$(BOTH),$(patsubst %,$(D)/$(name)_%/.done,layer4_0 layer2 layer1))
	$(call logged,$(C)/logs/style.log) $(study) --config=configs/style.py --workdir=$(C) \
	  --config.standard="$(call levels,standard)" --config.robust="$(call levels,robust_l2_eps025)"

$(C)/logs/anomaly.done: $(foreach name,$(BOTH),$(CLASSES:%=$(C)/one_class/$(name)_%/.done))
	$(call logged,$(C)/logs/anomaly.log) $(study) --config=configs/anomaly.py --workdir=$(C) \
	  --config.n=0 --config.root=$(C)/one_class \
	  --config.networks="('standard','robust_l2_eps025')" \
	  --config.classes=$(call tuple,$(foreach class,$(CLASSES),$(call quoted,$(class)))) \
	  --config.steps=0

cifar10: $(C)/logs/claims.done $(foreach seed,0 1 2,$(C)/ladder/$(seed)/logs/reconstruction.done) \
  $(C)/seed_1/logs/reconstruction.done $(C)/seed_2/logs/reconstruction.done \
  $(patsubst %,$(C)/logs/%.done,reconstruction generation denoising style anomaly)
	@echo "Look at $(C)/report.html"

# rin64: the pretrained models of Restricted ImageNet at 64 pixels, and decoders of them.
R := runs/rin64_studies
R_ROBUST := rin64_robust_l2_eps1
$(eval $(call pretrained,$(R),rin64_standard,$(R_ROBUST),1.0,\
  0.0$(comma)0.5$(comma)1.0$(comma)3.0,0))
# Steps as large as pictures of 64 pixels want: five times those of the digits of 16.
steps := --config.step_size=0.5 --config.steps
$(R)/logs/inversion.done: flags := --config.n=64 $(steps)=500 $(if $(OTHERS),\
  --config.unseen.path="$$OTHERS" \
  --config.targets="('test images','photographs','patterns','unseen classes')")
$(R)/logs/proximity.done: flags := --config.n=64 --config.free_step_size=0.5
$(R)/logs/interpolation.done: flags := --config.n=32 --config.points=5 $(steps)=500
$(R)/logs/visualization.done: flags := --config.units=16 $(steps)=200
$(R)/logs/regularized.done: flags := --config.step_size=0.5
$(R)/logs/manipulation.done: flags := $(steps)=800
$(R)/logs/synthesis.done: flags := --config.eps=12 --config.grain=4 --config.patch=20 $(steps)=80
$(R)/logs/transfer.done: flags := $(if $(OTHERS),--config.other.name=folder \
  --config.other.path="$$OTHERS")

define rin64_decoder # ENCODER, SUFFIX, FLAGS
$(R)/decoders/$(1)_$(2)/.done: $(SETTINGS)
	$$(call logged,$(R)/logs/$(1)_$(2).log) $(train) --config=configs/autoencoder_rin64.py \
	  $$(at_data) --config.model.encoder=rin64_$(1) --workdir=$(R)/decoders/$(1)_$(2) $(3)
endef
R_BOTH := standard $(R_ROBUST:rin64_%=%)
$(foreach name,$(R_BOTH),\
  $(eval $(call rin64_decoder,$(name),layer4))\
  $(eval $(call rin64_decoder,$(name),layer2,--config.model.stage=layer2))\
  $(eval $(call rin64_decoder,$(name),denoiser,--config.model.stage=layer2 --config.noise=50)))
of_both = "('$(R)/decoders/$(word 1,$(R_BOTH))_$(1)','$(R)/decoders/$(word 2,$(R_BOTH))_$(1)')"

$(R)/logs/reconstruction.done: $(R_BOTH:%=$(R)/decoders/%_layer4/.done)
	$(call logged,$(R)/logs/reconstruction.log) $(study) --config=configs/reconstruction.py \
	  --workdir=$(R) --config.standard=$(R)/decoders/$(word 1,$(R_BOTH))_layer4 \
	  --config.robust=$(R)/decoders/$(word 2,$(R_BOTH))_layer4 $(at_data) --config.n=1000 \
	  --config.step_size=0.5

$(R)/logs/denoising.done: $(R_BOTH:%=$(R)/decoders/%_denoiser/.done)
	$(call logged,$(R)/logs/denoising.log) $(study) --config=configs/denoising.py --workdir=$(R) \
	  --config.lpips=alexnet --config.networks=$(call of_both,denoiser) \
	  $(if $(CBSD68),--config.images="$$CBSD68" --config.n=0,$(at_data))

$(R)/logs/style.done: $(foreach name,$(R_BOTH),$(R)/decoders/$(name)_layer4/.done \
  $(R)/decoders/$(name)_layer2/.done)
	$(call logged,$(R)/logs/style.log) $(study) --config=configs/style.py --workdir=$(R) \
	  $(foreach i,1 2,--config.$(word $(i),standard robust)="($(foreach stage,layer4 layer2,\
	  $(call quoted,$(R)/decoders/$(word $(i),$(R_BOTH))_$(stage))))")

rin64: $(R)/logs/claims.done $(R)/logs/denoising.done $(R)/logs/style.done
	@echo "Look at $(R)/report.html"

# imagenet-zoo: the first paper's figures by published networks, of photographs of 224 pixels. There
# are 20 photographs or more, so n is what a figure shows; FLAGS are every study's.
Z := runs/imagenet_zoo
ZOO := --config.standard=resnet50_l2_eps0 --config.robust=resnet50_l2_eps3
observed := --config.observed=16
inversion_flags = --config.steps=$(STEPS)
proximity_flags = --config.n=8 --config.free_steps=$(STEPS)
interpolation_flags = --config.n=4 --config.gallery=12 --config.steps=$(STEPS)
visualization_flags = --config.units=8 $(observed)
regularized_flags = $(observed)
manipulation_flags = --config.units=4 --config.first_units="()" --config.n=4 $(observed)
ZOO_STUDIES := inversion proximity interpolation visualization regularized manipulation activations
$(ZOO_STUDIES:%=$(Z)/logs/%.done): $(Z)/logs/%.done: $(SETTINGS)
	$(call logged,$(Z)/logs/$*.log) $(study) --config=configs/$*.py:paper --workdir=$(Z) \
	  $(ZOO) --config.data.name=photographs --config.data.path="$$PHOTOS" $($*_flags) $(FLAGS)

$(Z)/logs/accuracy.done: $(SETTINGS)
	$(call logged,$(Z)/logs/accuracy.log) python -m rrjax.evaluate \
	  --config=configs/imagenet_zoo.py --workdir=$(Z) $(at_data)

imagenet-zoo: $(ZOO_STUDIES:%=$(Z)/logs/%.done) $(if $(DATA),$(Z)/logs/accuracy.done)
	@echo "Look at $(Z)/report.html"

# gradients: Kim et al. (2019) on CIFAR-10.
G := runs/gradients# as configs/retraining.py:cifar10 has it
as_folder = --config.data.name=folder $(at_data)
STRENGTHS := l2_0.4 l2_0.8 l2_1.6 linf_0.01 linf_0.02 linf_0.04
KIM := $(patsubst %,$(G)/%/.done,l2_0 $(STRENGTHS))

$(KIM): $(G)/%/.done: $(SETTINGS)
	$(call logged,$(G)/logs/$*.log) $(train) \
	  --config=configs/kim_cifar10.py:$(subst _,$(comma),$*) $(as_folder) --workdir=$(G)/$* $(FLAGS)

# The paper's settings, but a quarter of its width, 20 epochs of its 150, and one step of the
# discriminator where it takes 5.
$(G)/vaegan/.done: $(SETTINGS)
	$(call logged,$(G)/logs/vaegan.log) $(train) --config=configs/vaegan.py:cifar10 $(as_folder) \
	  --workdir=$(G)/vaegan --config.model.width=16 --config.epochs=20 \
	  --config.loss.discriminator_steps=1

$(G)/logs/manifold.done: $(KIM) $(G)/vaegan/.done
	$(call logged,$(G)/logs/manifold.log) $(study) --config=configs/manifold.py --workdir=$(G) \
	  --config.manifold=$(G)/vaegan --config.standard=$(G)/l2_0 --config.robust= \
	  --config.more="($(foreach name,$(STRENGTHS),$(call quoted,$(G)/$(name))))" --config.n=1000 \
	  --config.batch_size=100 --config.eps=6 --config.step_size=1

$(G)/logs/retraining.done: $(KIM)
	$(call logged,$(G)/logs/retraining.log) $(study) --config=configs/retraining.py:cifar10 \
	  --workdir=$(G)

$(G)/logs/tradeoff.done: $(G)/logs/retraining.done
	$(call logged,$(G)/logs/tradeoff.log) $(study) --config=configs/tradeoff.py --workdir=$(G)

gradients: $(G)/logs/manifold.done $(G)/logs/tradeoff.done
	@echo "Look at $(G)/report.html"

# gradients-paper: Kim et al. (2019) whole, in the paper's protocol. Radii in its units; by both
# losses, its "xent" and "cw". configs/retraining.py and configs/manifold.py name the same networks.
K := runs/gradients_paper
by_both_losses = $(1) $(1:%=%_margin)
K_L2 := 0.08 0.16 0.24 0.32 0.4 0.48 0.56 0.64 0.72 0.8 \
  0.88 0.96 1.04 1.12 1.2 1.28 1.36 1.44 1.52 1.6
K_LINF := 0.002 0.004 0.006 0.008 0.01 0.012 0.014 0.016 0.018 0.02 \
  0.022 0.024 0.026 0.028 0.03 0.032 0.034 0.036 0.038 0.04
K_GRID := l2_0 $(call by_both_losses,$(K_L2:%=l2_%) $(K_LINF:%=linf_%))
K_CIFAR10 := l2_0 $(call by_both_losses,l2_0.1 l2_0.4 l2_1.6 linf_0.005 linf_0.01 linf_0.02)
K_MNIST := l2_0 $(call by_both_losses,l2_1 l2_2 l2_4 linf_0.05 linf_0.1 linf_0.2)
K_PENALIZED := penalty_0.01 penalty_0.1 penalty_1 alignment_0.1 alignment_0.3 alignment_1
K_NETWORKS := $(sort $(K_GRID) $(K_CIFAR10) $(K_PENALIZED))

$(K_NETWORKS:%=$(K)/cifar10/%/.done): $(K)/cifar10/%/.done: $(SETTINGS)
	$(call logged,$(K)/logs/cifar10_$*.log) $(train) \
	  --config=configs/kim_cifar10.py:$(subst _,$(comma),$*) $(as_folder) \
	  --workdir=$(K)/cifar10/$* $(FLAGS)

define kim_mnist # SET, VARIABLE OF ITS FOLDER
$(K_MNIST:%=$(K)/$(1)/%/.done): $(K)/$(1)/%/.done: $(SETTINGS)
	$$(call logged,$(K)/logs/$(1)_$$*.log) $(train) \
	  --config=configs/kim_mnist.py:$$(subst _,$$(comma),$$*) --config.data.path="$$$$$(2)" \
	  --workdir=$(K)/$(1)/$$* $$(FLAGS)
endef
$(eval $(call kim_mnist,mnist,MNIST))
$(eval $(call kim_mnist,fashion_mnist,FASHION_MNIST))

define kim_manifold # SET, NETWORKS, FLAGS OF THE DATA: a VAE-GAN, and distances to it (2.1)
$(K)/$(1)/vaegan/.done: $(SETTINGS)
	$$(call logged,$(K)/logs/$(1)_vaegan.log) $(train) --config=configs/vaegan.py:$(1) $(3) \
	  --workdir=$(K)/$(1)/vaegan
$(K)/$(1)/logs/manifold.done: $(2:%=$(K)/$(1)/%/.done) $(K)/$(1)/vaegan/.done
	$$(call logged,$(K)/$(1)/logs/manifold.log) $(study) --config=configs/manifold.py:$(1) \
	  --workdir=$(K)/$(1)
endef
$(eval $(call kim_manifold,cifar10,$(K_CIFAR10),$$(as_folder)))
$(eval $(call kim_manifold,mnist,$(K_MNIST),--config.data.path="$$$$MNIST"))
$(eval $(call kim_manifold,fashion_mnist,$(K_MNIST),--config.data.path="$$$$FASHION_MNIST"))

$(K)/logs/boundary.done: $(SETTINGS)
	$(call logged,$(K)/logs/boundary.log) $(study) --config=configs/boundary.py --workdir=$(K)

define kim_retraining # WORKDIR, SETTINGS OF THE STUDY, NETWORKS
$(1)/logs/retraining.done: $(3:%=$(K)/cifar10/%/.done)
	$$(call logged,$(1)/logs/retraining.log) $(study) --config=configs/retraining.py:$(2) \
	  --workdir=$(1)
$(1)/logs/tradeoff.done: $(1)/logs/retraining.done
	$$(call logged,$(1)/logs/tradeoff.log) $(study) --config=configs/tradeoff.py --workdir=$(1)
endef
$(eval $(call kim_retraining,$(K),paper,$(K_GRID)))
$(eval $(call kim_retraining,$(K)/proposals,proposals,l2_0 $(STRENGTHS) $(K_PENALIZED)))

gradients-paper: $(K)/logs/boundary.done $(K)/cifar10/logs/manifold.done \
  $(if $(MNIST),$(K)/mnist/logs/manifold.done) \
  $(if $(FASHION_MNIST),$(K)/fashion_mnist/logs/manifold.done) \
  $(K)/logs/tradeoff.done $(K)/proposals/logs/tradeoff.done
	@echo "Look at $(K)/report.html and at those in $(K)/*/"

gradients-networks: # for launch/gradients.sbatch
	@echo $(K_NETWORKS)

# paper: the six networks on ImageNet and on Restricted ImageNet, and the first paper's figures.
P := runs/reproduce
PAPER := $(foreach set,rin imagenet,standard_$(set) robust_$(set) vgg16_$(set))

$(PAPER:%=$(P)/%/.done): $(P)/%/.done: $(SETTINGS)
	$(call logged,$(P)/logs/$*.log) $(train) --config=configs/$*.py $(at_data) \
	  --workdir=$(P)/$* $(FLAGS)

# All of their settings are the configs'.
PAPER_STUDIES := inversion proximity interpolation visualization regularized manipulation \
  activations
define paper_studies # SET
$(1)_networks := --config.standard=$(P)/standard_$(1) --config.robust=$(P)/robust_$(1) \
  --config.more="('$(P)/vgg16_$(1)',)"
$(1)_trained := $(P)/standard_$(1)/.done $(P)/robust_$(1)/.done $(P)/vgg16_$(1)/.done
$(P)/$(1)/logs/accuracy.done: $$($(1)_trained)
	$$(call logged,$(P)/$(1)/logs/accuracy.log) python -m rrjax.evaluate \
	  --config=configs/evaluate.py:paper --workdir=$(P)/$(1) $$($(1)_networks)
$(patsubst %,$(P)/$(1)/logs/%.done,$(PAPER_STUDIES) synthesis): $(P)/$(1)/logs/%.done: \
  $$($(1)_trained)
	$$(call logged,$(P)/$(1)/logs/$$*.log) $(study) --config=configs/$$*.py:paper \
	  --workdir=$(P)/$(1) $$($(1)_networks) $$(flags)
paper: $(patsubst %,$(P)/$(1)/logs/%.done,accuracy $(PAPER_STUDIES))
endef
$(foreach set,rin imagenet,$(eval $(call paper_studies,$(set))))

# The follow-up's pictures, of its nine classes.
paper: $(P)/rin/logs/synthesis.done

# Figures 6 (right) and 14b: classes of ImageNet that Restricted ImageNet leaves out.
$(P)/rin/logs/inversion.done: flags := --config.unseen.name=imagenet2012 \
  --config.unseen.path="$$DATA" \
  --config.targets="('test images','photographs','patterns','unseen classes')"

# decoders: Rojas-Gomez et al. (2021) at 224 pixels. Settings and folders are the configs' :paper.
A := runs/decoders
ALEXNETS := $(A)/standard/.done $(A)/robust/.done
$(A)/standard/.done: flags := --config.attack.eps=0
$(ALEXNETS): $(A)/%/.done: $(SETTINGS)
	$(call logged,$(A)/logs/$*.log) $(train) --config=configs/robust_alexnet.py $(at_data) \
	  --workdir=$(A)/$* $(flags) $(FLAGS)

define alexnet_decoder # ENCODER, SUFFIX, WORD
$(A)/$(1)_$(2)/.done: $(A)/$(1)/.done
	$$(call logged,$(A)/logs/$(1)_$(2).log) $(train) --config=configs/autoencoder_alexnet.py:$(3) \
	  $$(at_data) --config.model.encoder=$(A)/$(1) --workdir=$(A)/$(1)_$(2) $$(FLAGS)
endef
$(foreach name,standard robust,\
  $(eval $(call alexnet_decoder,$(name),conv5,inversion))\
  $(eval $(call alexnet_decoder,$(name),conv2,conv2))\
  $(eval $(call alexnet_decoder,$(name),conv1,conv1))\
  $(eval $(call alexnet_decoder,$(name),denoiser,denoising)))

define alexnet_one_class # FOLDER, ENCODER, CLASS, DATA
$(A)/$(1)/$(2)_$(3)/.done: $(A)/$(2)/.done
	$$(call logged,$(A)/logs/$(1)_$(2)_$(3).log) $(train) \
	  --config=configs/autoencoder_alexnet.py:anomaly --config.model.encoder=$(A)/$(2) \
	  --workdir=$(A)/$(1)/$(2)_$(3) --config.data.name=folder --config.data.path="$$$$$(4)" \
	  $(call one_class,$(3)) $$(FLAGS)
endef
$(foreach name,standard robust,\
  $(foreach class,$(CLASSES),$(eval $(call alexnet_one_class,one_class,$(name),$(class),CIFAR10)))\
  $(foreach class,cat dog,$(eval $(call alexnet_one_class,pets,$(name),$(class),PETS))))

of_alexnets = $(foreach name,standard robust,$(patsubst %,$(A)/$(1)$(name)_%/.done,$(2)))
alexnet_study = $(call logged,$(A)/logs/$(1).log) $(study) --config=configs/$(2) --workdir=$(3)
$(A)/logs/reconstruction.done: $(call of_alexnets,,conv5)
	$(call alexnet_study,reconstruction,reconstruction.py:paper,$(A))
$(A)/logs/style.done: $(call of_alexnets,,conv5 conv2 conv1)
	$(call alexnet_study,style,style.py:paper,$(A)) \
	  $(if $(CONTENTS),--config.contents="$$CONTENTS") $(if $(STYLES),--config.styles="$$STYLES")
$(A)/logs/denoising.done: $(call of_alexnets,,denoiser)
	$(call alexnet_study,denoising,denoising.py:paper,$(A)) --config.images="$$CBSD68"
$(A)/logs/anomaly.done: $(call of_alexnets,one_class/,$(CLASSES))
	$(call alexnet_study,anomaly,anomaly.py:paper,$(A))
$(A)/logs/pets.done: $(call of_alexnets,pets/,cat dog)
	$(call alexnet_study,pets,anomaly.py:pets,$(A)/pets)

# Decoders of published networks: of the ladder of ResNet-18, and of both ends of two others.
LADDER_resnet18 := 0 3 0.01 0.03 0.05 0.1 0.25 0.5 1 5
LADDER_resnet50 := 0 3
LADDER_vgg16_bn := 0 3
define published_decoder # ARCHITECTURE, EPS
$(A)/$(1)_l2_eps$(2)/.done: $(SETTINGS)
	$$(call logged,$(A)/logs/$(1)_l2_eps$(2).log) $(train) \
	  --config=configs/autoencoder_imagenet.py:$(1) $$(at_data) \
	  --config.model.encoder=$(1)_l2_eps$(2) --workdir=$(A)/$(1)_l2_eps$(2) $$(FLAGS)
endef
define published_decoders # ARCHITECTURE
$(foreach eps,$(LADDER_$(1)),$(eval $(call published_decoder,$(1),$(eps))))
$(A)/$(1)/logs/reconstruction.done: $(LADDER_$(1):%=$(A)/$(1)_l2_eps%/.done)
	$$(call logged,$(A)/$(1)/logs/reconstruction.log) $(study) \
	  --config=configs/reconstruction.py:paper --workdir=$(A)/$(1) \
	  --config.standard=$(A)/$(1)_l2_eps0 --config.robust=$(A)/$(1)_l2_eps3 --config.more=$(call \
	  tuple,$(foreach eps,$(wordlist 3,10,$(LADDER_$(1))),$(call quoted,$(A)/$(1)_l2_eps$(eps))))
endef
PUBLISHED := resnet18 resnet50 vgg16_bn
$(foreach name,$(PUBLISHED),$(eval $(call published_decoders,$(name))))

decoders: $(patsubst %,$(A)/logs/%.done,reconstruction style denoising anomaly $(if $(PETS),pets)) \
  $(PUBLISHED:%=$(A)/%/logs/reconstruction.done)
	@echo "Look at $(A)/report.html, and at those of $(PUBLISHED) in it"

"""Lines in the shapes that each trainer prints, of our own making: every field, and no other."""

import math

import pytest

from heliograph.training.parse import RULES, parse_line

AT = "current_iteration"
OF = "target_iteration"
MS = "elapsed_time_per_iteration_ms"
BAR = "  5%|▌         | 100/2000 [02:00<38:00,  1.25s/it]"
DICT = "{'loss': 1.5, 'grad_norm': 0.25, 'learning_rate': 2e-05, 'epoch': 0.1}"
IN_BAR = {AT: 100, OF: 2000, MS: 1250.0}
IN_DICT = {"total_loss": 1.5, "grad_norm": 0.25, "learning_rate": 2e-5, "epoch": 0.1}

HF = [
    ("the dict of a step", DICT, IN_DICT),
    ("srun in front", "3: " + DICT, IN_DICT),
    ("nan and inf", "{'loss': nan, 'grad_norm': inf, 'learning_rate': 0.0, 'epoch': 2.0}",
     {"total_loss": math.nan, "grad_norm": math.inf, "learning_rate": 0.0, "epoch": 2.0}),
    ("numpy and torch numbers", "{'loss': np.float64(1.5), 'grad_norm': tensor(0.25), 'learning_rate': 2e-05, 'epoch': 0.1}", IN_DICT),
    ("the summary of a run", "{'train_runtime': 98.5, 'train_samples_per_second': 12.5, 'train_steps_per_second': 0.5, 'train_loss': 1.25, 'epoch': 3.0}",
     {"samples_per_second": 12.5, "steps_per_second": 0.5, "total_loss": 1.25, "epoch": 3.0, "extra": {"runtime_s": 98.5}}),
    ("TRL", "{'loss': 0.5, 'grad_norm': 1.5, 'learning_rate': 1e-06, 'num_tokens': 4096.0, 'completions/mean_length': 12.5, 'rewards/fmt/mean': 0.5, 'reward': 1.5, 'kl': 0.25, 'epoch': 0.5}",
     {"total_loss": 0.5, "grad_norm": 1.5, "learning_rate": 1e-6, "consumed_tokens": 4096, "epoch": 0.5, "extra": {"completions_mean_length": 12.5, "rewards_fmt_mean": 0.5, "reward": 1.5, "kl": 0.25}}),
    ("a bar", BAR, IN_BAR),
    ("it/s", "100%|██████████| 8/8 [00:02<00:00,  3.50it/s]", {AT: 8, OF: 8, "steps_per_second": 3.5}),
    ("without the bar itself", "  4% 99/2238 [1:48:23<35:43:37, 60.25s/it]", {AT: 99, OF: 2238, MS: 60250.0}),
    ("diffusers", "Steps:   1%|  | 10/1000 [00:10<16:30,  1.25it/s, lr=1e-5, step_loss=0.125]", {AT: 10, OF: 1000, "steps_per_second": 1.25, "learning_rate": 1e-5, "total_loss": 0.125}),
    ("MS-SWIFT", "Train:   2%|▏  | 1/60 [00:42<41:47, 42.75s/it]{'loss': '0.25', 'grad_norm': '0.75', 'learning_rate': '3.5e-05', 'epoch': '0.5', 'global_step/max_steps': '1/60', 'remaining_time': '41m 48s', 'memory(GiB)': '14.5', 'train_speed(s/it)': '42.5'}",
     {AT: 1, OF: 60, "total_loss": 0.25, "grad_norm": 0.75, "learning_rate": 3.5e-5, "epoch": 0.5, "mem_usage_gb": 14.5, MS: 42500.0}),
    ("no speed yet", "  0%|          | 0/2000 [00:00<?, ?it/s]", {AT: 0, OF: 2000}),
    ("two bars glued: the last is the present (trap 6)", BAR + "  5%|▌         | 101/2000 [02:01<37:58,  1.50s/it]", {AT: 101, OF: 2000, MS: 1500.0}),
    ("overwritten bars", BAR + "\r  5%|▌         | 101/2000 [02:01<37:58,  1.50s/it]\r", {AT: 101, OF: 2000, MS: 1500.0}),
    ("a dict glued to its bar", BAR + DICT, IN_BAR | IN_DICT),
    ("a bar glued to its dict", DICT + BAR, IN_BAR | IN_DICT),
    ("a dict between two bars", BAR + "\r          \r" + DICT + BAR, IN_BAR | IN_DICT),
    ("its table at the end", "  train_loss               =       1.25", {"total_loss": 1.25}),
    ("a time in it", "  train_runtime            = 1:02:03.50", {"extra": {"runtime_s": 3723.5}}),
    ("a rate in it", "  train_samples_per_second =     12.5", {"samples_per_second": 12.5}),
]  # fmt: skip
AXOLOTL = [
    ("2026: numbers are strings (trap 7)", "{'loss': '1.25', 'grad_norm': '0.5', 'learning_rate': '2e-05', 'ppl': '3.49', 'memory/max_active (GiB)': '14.5', 'memory/max_allocated (GiB)': '14.25', 'memory/device_reserved (GiB)': '16.0', 'tokens/train_per_sec_per_gpu': '812.5', 'tokens/total': '65536', 'tokens/trainable': '60000', 'epoch': '0.01'}",
     {"total_loss": 1.25, "grad_norm": 0.5, "learning_rate": 2e-5, "mem_usage_gb": 14.25, "mem_reserved_gb": 16.0, "tokens_per_gpu": 812.5, "consumed_tokens": 65536, "epoch": 0.01, "extra": {"ppl": 3.49, "mem_active_gb": 14.5, "tokens_trainable": 60000.0}}),
    ("2025: other names of memory", "{'loss': 1.25, 'memory/max_mem_active(gib)': 14.5, 'memory/max_mem_allocated(gib)': 14.25, 'memory/device_mem_reserved(gib)': 16.5, 'tokens_per_second_per_gpu': 812.5, 'epoch': 0.5}",
     {"total_loss": 1.25, "mem_usage_gb": 14.25, "mem_reserved_gb": 16.5, "tokens_per_gpu": 812.5, "epoch": 0.5, "extra": {"mem_active_gb": 14.5}}),
]  # fmt: skip
LLAMA_FACTORY = [
    ("the callback's rounded values (trap 9)", "[INFO|2026-05-27 15:17:40] llamafactory.train.callbacks:143 >> {'loss': 1.5, 'learning_rate': 4.5e-05, 'epoch': 0.25, 'throughput': 1234.5}",
     {"total_loss": 1.5, "learning_rate": 4.5e-5, "epoch": 0.25, "tokens_per_second": 1234.5}),
    ("an older logger", "05/20/2026 12:00:00 - INFO - llamafactory.extras.callbacks - {'loss': 1.5, 'learning_rate': 4.5e-05, 'epoch': 0.25}",
     {"total_loss": 1.5, "learning_rate": 4.5e-5, "epoch": 0.25}),
    ("then the dict", "{'loss': 1.4995, 'grad_norm': 0.75, 'learning_rate': 4.5e-05, 'epoch': 0.25, 'num_input_tokens_seen': 8192}",
     {"total_loss": 1.4995, "grad_norm": 0.75, "learning_rate": 4.5e-5, "epoch": 0.25, "consumed_tokens": 8192}),
    ("its JSON log", '{"current_steps": 5, "total_steps": 900, "loss": 1.25, "lr": 5e-05, "epoch": 0.01, "percentage": 0.56, "elapsed_time": "0:00:05", "throughput": 123.5, "total_tokens": 4096}',
     {AT: 5, OF: 900, "total_loss": 1.25, "learning_rate": 5e-5, "epoch": 0.01, "tokens_per_second": 123.5, "consumed_tokens": 4096, "extra": {"percentage": 0.56}}),
]  # fmt: skip
LIGHTNING = [
    ("2.x", "Epoch 3:  50%|█████     | 50/100 [00:10<00:10,  5.25it/s, v_num=7]", {"epoch": 3, AT: 50, OF: 100, "steps_per_second": 5.25, "extra": {"v_num": 7.0}}),
    ("a loss of the step and of the epoch", "Epoch 40/99: 100%|█████| 400/400 [07:02<00:00, 1.06s/it, v_num=abc, train_loss_step=8.5, train_loss_epoch=8.75]",
     {"epoch": 40, AT: 400, OF: 400, MS: 1060.0, "total_loss": 8.5, "extra": {"total_epochs": 99, "train_loss_epoch": 8.75}}),
    ("a validation loss is extra", "Epoch 2: 100%|██████| 9/9 [00:17<00:00, 107.5it/s, loss=0.5, v_num=0, val_loss=0.75, val_acc=0.9]",
     {"epoch": 2, AT: 9, OF: 9, "steps_per_second": 107.5, "total_loss": 0.5, "extra": {"v_num": 0.0, "val_loss": 0.75, "val_acc": 0.9}}),
    ("memory in the bar", "  0%|         | 24/90 [01:10<23:11:35,  0.5it/s, v_num=p0c, before_forward_allocated=13.50, before_forward_peak=22.50, train_loss_step=84.5]",
     {AT: 24, OF: 90, "steps_per_second": 0.5, "total_loss": 84.5, "mem_usage_gb": 13.5, "mem_max_gb": 22.5}),
    ("no known end", "Epoch 0: |          | 120/? [00:30<00:00,  3.90it/s, v_num=0, train_loss=2.25]",
     {"epoch": 0, AT: 120, "steps_per_second": 3.9, "total_loss": 2.25, "extra": {"v_num": 0.0}}),
    ("no bar, only a count", "Epoch 0: 120it [00:30,  3.94it/s, loss=0.5, v_num=0]", {"epoch": 0, AT: 120, "steps_per_second": 3.94, "total_loss": 0.5, "extra": {"v_num": 0.0}}),
    ("the validation's bar beside it is none", "Epoch 0: 100%|███| 31/31 [00:13<00:00, 23.5it/s, v_num=4]Validation DataLoader 0:   5%|  | 1/20 [00:01<00:20, 1.5it/s]",
     {"epoch": 0, AT: 31, OF: 31, "steps_per_second": 23.5, "extra": {"v_num": 4.0}}),
]  # fmt: skip
NEMO = [
    ("2.x", "run/0 [default0]:Training epoch 1, iteration 99/200 | lr: 1e-05 | global_batch_size: 64 | global_step: 299 | reduced_train_loss: 2.5 | train_step_timing in s: 1.25 | consumed_samples: 19200",
     {"epoch": 1, AT: 99, OF: 200, "learning_rate": 1e-5, "global_batch_size": 64, "lm_loss": 2.5, MS: 1250.0, "consumed_samples": 19200, "extra": {"global_step": 299}}),
    ("memory in bytes, TFLOPS, a validation loss", "Training epoch 1, iteration 9/200 | lr: 1e-05 | global_step: 9 | peak_memory_usage: 2147483648 | memory_allocated: 1073741824 | reduced_train_loss: 2.5 | TFLOPS_per_GPU: 512.5 | val_loss: 2.75",
     {"epoch": 1, AT: 9, OF: 200, "learning_rate": 1e-5, "mem_usage_gb": 1.0, "mem_max_gb": 2.0, "lm_loss": 2.5, "tflops": 512.5, "extra": {"global_step": 9, "val_loss": 2.75}}),
    ("1.x draws a bar", "Epoch 0:   3%|▎ | 30/1000 [02:33<1:20:00,  4.5s/it, v_num=, reduced_train_loss=7.900, global_step=29.00, consumed_samples=7680.0, train_step_timing in s=4.950]",
     {"epoch": 0, AT: 30, OF: 1000, MS: 4950.0, "lm_loss": 7.9, "consumed_samples": 7680, "extra": {"global_step": 29}}),
    ("a count without an end", "Epoch 1: : 1it [00:04,  4.25s/it, v_num=d3c7, reduced_train_loss=0.5, global_step=1.000, consumed_samples=128.0, samples/sec=14.50]",
     {"epoch": 1, AT: 1, MS: 4250.0, "lm_loss": 0.5, "consumed_samples": 128, "samples_per_second": 14.5, "extra": {"global_step": 1}}),
    ("Megatron Bridge, a line of its own", "Step Time : 5.75s GPU utilization: 701.5MODEL_TFLOP/s/GPU", {MS: 5750.0, "tflops": 701.5}),
    ("DLLogger", 'DLLL {"type": "LOG", "step": 16, "data": {"reduced_train_loss": 10.5, "lr": 1.5e-06, "global_step": 16.0, "train_step_timing in s": 92.5, "epoch": 0}}',
     {AT: 16, "lm_loss": 10.5, "learning_rate": 1.5e-6, MS: 92500.0, "epoch": 0, "extra": {"global_step": 16}}),
]  # fmt: skip
DEEPSPEED = [
    ("log_dist", "[2026-04-18 01:46:59,142] [INFO] [logging.py:96:log_dist] [Rank 0] step=120, skipped=6, lr=[9.5e-06, 8.5e-06], mom=[(0.9, 0.95), (0.9, 0.95)]",
     {AT: 120, "skipped_iterations": 6, "learning_rate": 9.5e-6}),
    ("the timer", "[2026-04-18 01:46:59,171] [INFO] [timer.py:199:stop] epoch=0/micro_step=20/global_step=10, RunningAvgSamplesPerSec=173.5, CurrSamplesPerSec=171.25, MemAllocated=3.96GB, MaxMemAllocated=22.95GB",
     {"epoch": 0, AT: 10, "samples_per_second_avg": 173.5, "samples_per_second": 171.25, "mem_usage_gb": 3.96, "mem_max_gb": 22.95, "extra": {"micro_step": 20.0}}),
    ("an older timer", "[2023-04-18 01:46:59,171] [INFO] [timer.py:157:stop] 0/10, SamplesPerSec=173.5, MemAllocated=3.5GB, MaxMemAllocated=22.5GB",
     {"epoch": 0, AT: 10, "samples_per_second": 173.5, "mem_usage_gb": 3.5, "mem_max_gb": 22.5}),
    ("the pipeline engine", "steps: 12 loss: 3.75 iter time (s): 1.5 samples/sec: 680.5", {AT: 12, "total_loss": 3.75, MS: 1500.0, "samples_per_second": 680.5}),
    ("DeepSpeed-Chat", "epoch: 0|step: 9|ppo_ep: 1|act_loss: 0.25|cri_loss: 0.5|unsuper_loss: 0.0", {"epoch": 0, AT: 9, "extra": {"ppo_ep": 1.0, "policy_loss": 0.25, "value_loss": 0.5, "unsuper_loss": 0.0}}),
    ("DeepSpeed-Chat's speed, without a step", "Model Parameters: 6.5 B, Latency: 4.75s, TFLOPs: 10.25, Samples/sec: 0.85, Time/seq 1.18s, Batch Size: 4, Sequence Length: 512",
     {MS: 4750.0, "tflops": 10.25, "samples_per_second": 0.85, "global_batch_size": 4, "extra": {"model_parameters": 6.5, "sequence_length": 512.0}}),
    ("its parts of a step", "|E2E latency=8.25s |Gather latency=0.00s (0.00%) |Others=0.91 (11.05%)|CurSamplesPerSec=3.5 |AvgSamplesPerSec=3.75",
     {MS: 8250.0, "samples_per_second": 3.5, "samples_per_second_avg": 3.75, "extra": {"gather_latency_s": 0.0, "others": 0.91}}),
    ("an overflow", "[2026-04-18 01:46:53,259] [INFO] [loss_scaler.py:181:update_scale] [deepspeed] OVERFLOW! Rank 0 Skipping step. Attempted loss scale: 65536, reducing to 32768", {"loss_scale": 65536.0}),
]  # fmt: skip
MAXTEXT = [
    ("a step", "completed step: 5, seconds: 2.5, TFLOP/s/device: 301.5, Tokens/s/device: 5315.25, total_weights: 65536, loss: 8.25",
     {AT: 5, MS: 2500.0, "tflops": 301.5, "tokens_per_gpu": 5315.25, "total_loss": 8.25, "extra": {"total_weights": 65536.0}}),
    ("with glog in front, and more losses", "I0101 12:00:00.123456 140000 metric_logger.py:180] completed step: 5, seconds: 2.5, TFLOP/s/device: 301.5, Tokens/s/device: 5315.25, total_weights: 65536, loss: 8.25, lm_loss: 8.125, perplexity: 3377.5",
     {AT: 5, MS: 2500.0, "tflops": 301.5, "tokens_per_gpu": 5315.25, "total_loss": 8.25, "lm_loss": 8.125, "extra": {"total_weights": 65536.0, "perplexity": 3377.5}}),
    ("an impossible step is read as it is printed (trap 8)", "completed step: 2, seconds: 0.002, TFLOP/s/device: 917442.5, Tokens/s/device: 19907654.5, total_weights: 1, loss: 10.5",
     {AT: 2, MS: 2.0, "tflops": 917442.5, "tokens_per_gpu": 19907654.5, "total_loss": 10.5, "extra": {"total_weights": 1.0}}),
]  # fmt: skip
T5X = [
    ("a step alone", "I0709 15:30:22.038341 8383831552 trainer.py:509] Training: step 3", {AT: 3}),
    ("a finished step", "I0325 14:01:32.476979 130295542103168 train.py:652] Finished training step 3. Batch size: 512, Loss: 10.5, LR: 0.00001", {AT: 3, "global_batch_size": 512, "total_loss": 10.5, "learning_rate": 1e-5}),
    ("how far it is", "I0612 03:00:12.000000 139 local.py:51] Setting work unit notes: 10.5 steps/s, 31.2% (312/1000), ETA: 1h53m", {AT: 312, OF: 1000, "steps_per_second": 10.5}),
    ("the metric writer", "I0709 15:30:22.038341 8383831552 logging_writer.py:48] [100] collection=train accuracy=0.5, learning_rate=0.01, loss=10.25, timing/seqs_per_second=512.5, timing/steps_per_second=1.25",
     {AT: 100, "learning_rate": 0.01, "total_loss": 10.25, "samples_per_second": 512.5, "steps_per_second": 1.25, "extra": {"accuracy": 0.5}}),
]  # fmt: skip
VERL = [
    ("a step", "(TaskRunner pid=99) step:3 - global_seqlen/min:6456 - actor/entropy:0.5 - actor/pg_loss:np.float64(0.0125) - actor/grad_norm:np.float64(0.25) - actor/ppo_kl:0.0 - critic/kl:0.107 - critic/grad_norm:0.5 - critic/vf_loss:0.001 - actor/lr:np.float64(1e-06) - training/epoch:0 - critic/score/mean:0.5 - critic/rewards/mean:0.25 - response_length/mean:57.5 - timing_s/gen:20.5 - timing_s/update_actor:1.5 - timing_s/step:87.25",
     {AT: 3, "grad_norm": 0.25, "learning_rate": 1e-6, "epoch": 0, MS: 87250.0,
      "extra": {"global_seqlen_min": 6456.0, "entropy": 0.5, "policy_loss": 0.0125, "kl": 0.0, "critic_kl": 0.107, "critic_grad_norm": 0.5, "value_loss": 0.001, "score_mean": 0.5, "reward_mean": 0.25, "response_length_mean": 57.5, "time_gen_s": 20.5, "time_update_actor_s": 1.5}}),
    ("its throughput is of one device, its mfu a share", "step:4 - actor/grad_norm:0.5 - perf/mfu/actor:0.31 - perf/max_memory_allocated_gb:40.5 - perf/max_memory_reserved_gb:50.25 - perf/total_num_tokens:4096 - perf/time_per_step:2.5 - perf/throughput:705.5",
     {AT: 4, "grad_norm": 0.5, "mfu": 31.0, "mem_usage_gb": 40.5, "mem_reserved_gb": 50.25, MS: 2500.0, "tokens_per_gpu": 705.5, "extra": {"perf_total_num_tokens": 4096.0}}),
    ("noughts that are roundings are left out", "step:4 - actor/grad_norm:0.5 - actor/lr:0.000 - mfu/actor:0.000", {AT: 4, "grad_norm": 0.5}),
    ("its bar", "(TaskRunner pid=99) Training Progress:   1%|          | 3/435 [04:21<10:28:03, 87.25s/it]", {AT: 3, OF: 435, MS: 87250.0}),
    ("the bar glued to the step", "Epoch 1/1:  99%|#########9| 109/110 [1:14:27<01:11, 71.5s/it]step:109 - train/loss:0.5 - train/grad_norm:0.25 - train/lr:1e-05 - train/mfu:0.2",
     {AT: 109, OF: 110, "epoch": 1, MS: 71500.0, "total_loss": 0.5, "grad_norm": 0.25, "learning_rate": 1e-5, "mfu": 20.0, "extra": {"total_epochs": 1}}),
    ("a learning rate in thousandths", "step:5 - train/loss:0.5 - train/lr(1e-3):0.01", {AT: 5, "total_loss": 0.5, "learning_rate": 1e-5}),
]  # fmt: skip
OPENRLHF = [
    ("SFT", "Train step of epoch 0: 60%|██████  | 3/5 [00:06<00:03, gpt_loss=3.25, lr=5e-7, grad_norm=43.5]", {"epoch": 0, AT: 3, OF: 5, "total_loss": 3.25, "learning_rate": 5e-7, "grad_norm": 43.5}),
    ("values of torch, no bar", "14/2826 [17:16<36:13:38, 46.5s/it, gpt_loss=1.25, lr=tensor(5.5e-07), aux_loss=8.5]", {AT: 14, OF: 2826, MS: 46500.0, "total_loss": 1.25, "learning_rate": 5.5e-7, "auxiliary_loss": 8.5}),
    ("DPO", "Train step of epoch 1:  10%|█         | 12/120 [01:10<10:00,  5.75s/it, loss=0.5, acc=0.75, chosen_reward=0.25, lr=5e-7]",
     {"epoch": 1, AT: 12, OF: 120, MS: 5750.0, "total_loss": 0.5, "learning_rate": 5e-7, "extra": {"acc": 0.75, "chosen_reward": 0.25}}),
    ("PPO", "Train epoch [1/2]:  50%|█████     | 4/8 [00:20<00:20,  5.25s/it, pg=-0.5, kl=0.25, act_lr=5e-7]",
     {"epoch": 1, AT: 4, OF: 8, MS: 5250.0, "learning_rate": 5e-7, "extra": {"total_epochs": 2, "policy_loss": -0.5, "kl": 0.25}}),
    ("Ray", "(PPOActor pid=12) Global step 12: {'policy_loss': -0.5, 'kl': 0.25, 'actor_lr': 5e-07, 'reward': 0.75}",
     {AT: 12, "learning_rate": 5e-7, "extra": {"policy_loss": -0.5, "kl": 0.25, "reward": 0.75}}),
]  # fmt: skip
TORCHTUNE = [
    ("epoch, step, loss and the bar", "  1|52|Loss: 2.5:   0%|▏          | 52/25880 [00:24<3:55:01,  1.75it/s]", {"epoch": 1, AT: 52, OF: 25880, "total_loss": 2.5, "steps_per_second": 1.75}),
    ("the bar left open", "  1|149|Loss: 0.5:   1%|      | 149/25880 [02:08<6:14:19,  1.15it/s", {"epoch": 1, AT: 149, OF: 25880, "total_loss": 0.5, "steps_per_second": 1.15}),
    ("the bar cut off", "1|9|Loss: 1.75", {"epoch": 1, AT: 9, "total_loss": 1.75}),
    ("its log file", "Step 12 | loss:2.5 lr:2e-05 grad_norm:0.5 tokens_per_second_per_gpu:1234.5 peak_memory_active:12.5 peak_memory_alloc:12.25 peak_memory_reserved:14.5 ",
     {AT: 12, "total_loss": 2.5, "learning_rate": 2e-5, "grad_norm": 0.5, "tokens_per_gpu": 1234.5, "mem_usage_gb": 12.25, "mem_reserved_gb": 14.5, "extra": {"mem_active_gb": 12.5}}),
]  # fmt: skip
COMPOSER = [
    ("the step", "[batch=12/4800]:", {AT: 12, OF: 4800}),
    ("the step of an epoch", "0: [epoch=2][batch=12/400]:", {"epoch": 2, AT: 12, OF: 400}),
    ("loss", "0:       Train loss/train/total: 2.5000", {"total_loss": 2.5}),
    ("memory", "         Train memory/current_reserved_mem: 20.5", {"mem_reserved_gb": 20.5}),
    ("its bar", "train          Epoch   3:   10%|██▌       | 100/1000 [00:10<01:30, 10.25ba/s, loss/train=2.125]", {"epoch": 3, AT: 100, OF: 1000, "steps_per_second": 10.25, "total_loss": 2.125}),
    ("learning rate", "         Train lr-DecoupledAdamW/group0: 0.0003", {"learning_rate": 3e-4}),
    ("a share of peak", "         Train throughput/device/mfu: 0.4125", {"mfu": 41.25}),
    ("FLOP/s", "\t Train throughput/device/flops_per_sec: 120000000000000.0", {"tflops": 120.0}),
    ("tokens of a device", "         Train throughput/device/tokens_per_sec: 1255.5", {"tokens_per_gpu": 1255.5}),
    ("tokens of all", "         Train throughput/tokens_per_sec: 2511.0", {"tokens_per_second": 2511.0}),
    ("another", "         Train time/train: 0.0037", {"extra": {"time_train": 0.0037}}),
]  # fmt: skip
VLLM = [
    ("throughput", "Throughput: 12.5 requests/s, 6400.25 total tokens/s, 3200.5 output tokens/s", {"samples_per_second": 12.5, "tokens_per_second": 6400.25, "extra": {"output_throughput_tokens_s": 3200.5}}),
    ("an older one", "Throughput: 12.5 requests/s, 6400.25 tokens/s", {"samples_per_second": 12.5, "tokens_per_second": 6400.25}),
    ("latency in seconds", "Avg latency: 0.25 seconds", {MS: 250.0}),
    ("latency in s", "Avg latency: 0.25 s", {MS: 250.0}),
    ("latency in milliseconds", "Avg latency: 250.5 ms", {MS: 250.5}),
    ("the server's", "INFO 08-01 12:00:00 [loggers.py:116] Engine 000: Avg prompt throughput: 512.5 tokens/s, Avg generation throughput: 118.5 tokens/s, Running: 5 reqs",
     {"extra": {"prompt_throughput_tokens_s": 512.5, "generation_throughput_tokens_s": 118.5}}),
    ("the benchmark's", "Request throughput (req/s):              12.5", {"samples_per_second": 12.5}),
]  # fmt: skip
MEGATRON_KIN = [
    ("megatron-deepspeed", "tokens of a GPU", "[default7]: iteration 5/ 10 | elapsed time per iteration (s): 1.5 | samples per second: 19.5 | tokens per gpu per second (tgs): 4000.5 | TFLOPs: 149.5 |",
     {AT: 5, OF: 10, MS: 1500.0, "samples_per_second": 19.5, "tokens_per_gpu": 4000.5, "tflops": 149.5}),
    ("mindspeed-llm", "memory", "INFO [2026-06-22 19:25:37] >>  iteration        1/    2000 | consumed tokens:        564 | elapsed time per iteration (ms): 7827.5 | lm loss: 3.25E+00 | max_memory_allocated(GB): 19.5 | max_memory_reserved(GB): 20.5 |",
     {AT: 1, OF: 2000, "consumed_tokens": 564, MS: 7827.5, "lm_loss": 3.25, "mem_usage_gb": 19.5, "mem_reserved_gb": 20.5}),
    ("torchtitan", "more on the line", "[rank0]:[titan] 2026-12-13 06:45:34,345 - root - INFO - step: 530  loss:  5.9866  grad_norm:  0.5402  memory: 63.36GiB(45.35%)  tps: 82,900  tflops: 23.15  mfu: 2.34%  elapsed_time_per_step: 1.5s",
     {AT: 530, "total_loss": 5.9866, "grad_norm": 0.5402, "mem_usage_gb": 63.36, "mem_usage_ratio": 45.35, "tokens_per_gpu": 82900.0, "tflops": 23.15, "mfu": 2.34, MS: 1500.0, "rank": 0}),
    ("torchtitan", "torchtrain's step time", "[rank0]:2024-03-01 10:00:00,123 - root - INFO - step:  1  loss: 10.75  iter:  4.25  data: 0.02  lr: 0.0002", {AT: 1, "total_loss": 10.75, MS: 4250.0, "learning_rate": 2e-4, "extra": {"data": 0.02}, "rank": 0}),
    ("fairseq", "updates", "2022-01-01 10:00:00 | INFO | train_inner | epoch 001:    100 / 1000 loss=9.5, ppl=724.5, wps=12000, ups=2.5, bsz=256, num_updates=100, lr=1e-05, gnorm=2.5, gb_free=20.5, wall=60",
     {"epoch": 1, "total_loss": 9.5, "tokens_per_second": 12000.0, "steps_per_second": 2.5, "global_batch_size": 256, AT: 100, "learning_rate": 1e-5, "grad_norm": 2.5, "mem_free_gb": 20.5, "extra": {"ppl": 724.5, "wall": 60.0}}),
    ("unknown", "the example of every course", "Train Epoch: 1 [640/60000 (1%)]\tLoss: 2.300039", {"epoch": 1, "total_loss": 2.300039}),
    ("megatron-lm", "a runtime's mark left on", "2026-01-01T00:00:00Z stdout F  iteration 5/ 10 | lm loss: 2.5E+00 | grad norm: 0.5 |", {AT: 5, OF: 10, "lm_loss": 2.5, "grad_norm": 0.5}),
    ("megatron-lm", "mpirun's", "[1,0]<stdout>: iteration 5/ 10 | lm loss: 2.5E+00 | grad norm: 0.5 |", {AT: 5, OF: 10, "lm_loss": 2.5, "grad_norm": 0.5}),
    ("unknown", "logfmt", 'level=info msg="train" step=10 loss=2.5 lr=0.001', {AT: 10, "total_loss": 2.5, "learning_rate": 0.001}),
    ("unknown", "a logger without a sign", "2026-01-01 10:00:00 INFO trainer step=10 loss=2.5 mfu=45.5%", {AT: 10, "total_loss": 2.5, "mfu": 45.5}),
    ("unknown", "pipes without an iteration", "Epoch: 1 | Step: 10 | Loss: 2.5", {"epoch": 1, AT: 10, "total_loss": 2.5}),
    ("unknown", "a plain loop", "Epoch [1/3], Step [10/100], Loss: 0.5125", {"epoch": 1, AT: 10, OF: 100, "total_loss": 0.5125, "extra": {"total_epochs": 3}}),
    ("unknown", "a logger's step", "INFO:root:step 10 loss: 2.5 lr: 1e-4 tokens/sec: 12345.5", {AT: 10, "total_loss": 2.5, "learning_rate": 1e-4, "tokens_per_second": 12345.5}),
    ("unknown", "JSON", '{"step": 7, "loss": 2.5, "grad_norm": 0.5, "level": "INFO", "time": "2026-01-01T00:00:00Z"}', {AT: 7, "total_loss": 2.5, "grad_norm": 0.5}),
]  # fmt: skip

NOISE = [
    "{'eval_loss': 1.5, 'eval_runtime': 12.5, 'eval_samples_per_second': 80.1, 'epoch': 1.0}",
    "{'learning_rate': 0.0001, 'batch_size': 8, 'max_grad_norm': 1.0}",
    "Config: {'loss': 'cross_entropy', 'lr': 0.001, 'epochs': 3}",
    "Best metrics: {'loss': 0.5, 'epoch': 3}",
    '{"train_micro_batch_size_per_gpu": 4, "gradient_clipping": 1.0, "fp16": {"loss_scale": 0}}',
    "Map: 100%|██████████| 5000/5000 [00:01<00:00, 4000.12 examples/s]",
    "Loading checkpoint shards: 100%|██████████| 4/4 [00:05<00:00,  1.31s/it]",
    "Loading safetensors checkpoint shards:  25% Completed | 1/4 [00:00<00:01,  2.5it/s]",
    "Tokenizing:  50%|█████     | 500/1000 [00:01<00:01, 400.5it/s]",
    "Generating train split: 5000 examples [00:01, 4000.12 examples/s]",
    "Downloading data: 100%|██████████| 45.2M/45.2M [00:01<00:00, 30.1MB/s]",
    "Validation DataLoader 0:  50%|█████     | 5/10 [00:01<00:01,  4.00it/s]",
    "Sanity Checking DataLoader 0: 100%|██████████| 2/2 [00:00<00:00,  4.00it/s]",
    "Eval stage of steps 100:  10%|█         | 12/120 [01:10<10:00,  5.83s/it, loss=0.69]",
    "Generation => Latency: 3.1s, Per-token Latency 24.5 ms, TFLOPs: 0.6, BW: 45 GB/sec",
    "files 3/4 [00:05<00:01,  1.31s/it]",
    "{'a': {'loss': 1.0}, 'b': {'x': 1}}",
    "args: Namespace(lr=0.001, step=5, loss=0.5)",
    "eval | step: 100 | loss: 2.5",
    "Dev | step=100 | loss=2.5",
    '{"event": "eval", "step": 100, "loss": 2.5}',
    '{"split": "val", "step": 100, "loss": 2.5}',
    "nvidia-smi | memory used: 10GB | memory total: 80GB",
    "Loaded model with loss=0.5 from step=100",
    "step: 100 reached, stopping",
    "warmup_steps: 100, total_steps: 1000, lr: 0.001",
    "TrainingArguments(learning_rate=5e-05, max_steps=100, logging_steps=10, loss=1)",
    "NOTE: at iteration 12/ 500 | lm loss: 2.0 | grad norm: 3.0 | lower the learning rate",
    "Test set: Average loss: 0.0523, Accuracy: 9831/10000 (98%)",
    "Evaluating: 100%|██████████| 12/12 [01:10<00:00,  5.83s/it]",
    "Capturing CUDA graph shapes: 100%|██████████| 35/35 [00:20<00:00,  1.71it/s]",
    "100%|██████████| 45200/45200 [00:01<00:00, 30100.5 examples/s]",
    "Validation: iteration 3/50",
    "eval metrics after step: 9, loss=9.420, total_weights=75264.0",
    "[titan] 2026-01-01 00:00:00,000 - root - INFO - validate step: 10  loss:  5.98  memory: 63.36GiB(45.35%)  tps: 829",
    "I0709 15:30:22.038341 8383831552 logging_writer.py:48] [100] collection=inference_eval accuracy=0.021, loss=10.25",
    "I0709 15:30:22.038341 8383831552 logging_writer.py:48] [0] collection=train timing/train_iter_warmup=1.9e-06",
    "(TaskRunner pid=99) step:0 - val-core/openai/gsm8k/reward/mean@1:0.25 - val-aux/x/mean:0.5",
    "         Eval metrics/eval/LanguageCrossEntropy: 2.5",
    "Per train step: Total TFLOPs: 2355.05 split as 95.12% learnable weight flops and 4.88% attention flops",
    "number parameters: 15.933 billion",
    "\tUsing (GB) 44.63 / 95.74 (46.615835%) on TPU_0(process=0,(0,0,0,0))",
    "[2026-04-18 01:46:59,142] [INFO] [logging.py:96:log_dist] [Rank 0] rank=0 time (ms) | fwd_microstep: 54.1 | bwd_microstep: 105.2",
    "[2026-04-18 01:46:59,142] [INFO] [config.py:960:print]   train_batch_size ............. 512",
    "  lr_warmup_iters ................................. 2000",
    "[INFO|trainer.py:2140] 2026-09-17 23:35:34,372 >>   Total train batch size (w. parallel, distributed & accumulation) = 128",
    "[INFO|trainer.py:2142] 2026-09-17 23:35:34,372 >>   Total optimization steps = 1,000",
    "trainable params: 18,464,768 || all params: 1,562,179,072 || trainable%: 1.1820",
    "Process rank: 2, world size: 8, device: cuda:2, distributed training: True",
    "WorkNCCL(SeqNum=42, OpType=ALLGATHER, Timeout(ms)=1800000) ran for 1806948 milliseconds before timing out.",
    "If the loss: 3.0 does not go down by step: 100, lower the learning rate: 1e-5",
    "We saw loss = 3.2 at step 100 and lr = 1e-4 worked best",
    "print(f'step: {step} loss: {loss}')",
    "loss = 3.0",
    "lr: 0.1, momentum: 0.9, epochs: 90",
    "10% percentile latency: 1.2 seconds",
    "  total_flos               =  5123GF",
    "Setting latency: 5 and throughput = 3",
    "ACTIVE_TRAJ_NUM: [1152, 1099, 1097]",
]  # fmt: skip


def table(*groups):
    return [
        pytest.param(framework, line, expected, id=f"{framework}: {name}")
        for framework, cases in groups
        for name, line, expected in cases
    ]


def told(fields):
    """Comparable: NaN equals NaN."""
    return {
        name: told(value)
        if isinstance(value, dict)
        else "nan"
        if isinstance(value, float) and math.isnan(value)
        else value
        for name, value in fields.items()
    }


# Two numbers at most, of whom a rank or a job is named.
LONE = [
    ("unknown", "a rank's loss alone", "[Rank 0] Loss: 2.25", {"rank": 0, "total_loss": 2.25}),
    ("unknown", "MLPerf", '0: :::MLLOG {"namespace": "", "time_ms": 1775725581676, "event_type": "POINT_IN_TIME", "key": "train_loss", "value": 11.75, "metadata": {"file": "/w/x.py", "lineno": 12, "samples_count": 64, "lr": 3.5e-06}}', {"total_loss": 11.75, "consumed_samples": 64, "learning_rate": 3.5e-6}),
    ("axolotl", "its memory", "[axolotl.callbacks.on_step_end:122] [PID:7] [RANK:3] GPU memory usage while training: 18.25GB (+5.5GB cache, +1.25GB misc)", {"rank": 3, "mem_usage_gb": 18.25}),
    ("hf-trainer", "the output of a run, without metrics", "TrainOutput(global_step=500, training_loss=0.75)", {AT: 500, "total_loss": 0.75}),
    ("hf-trainer", "with them", "TrainOutput(global_step=500, training_loss=0.75, metrics={'train_runtime': 8.5, 'train_steps_per_second': 0.5, 'train_loss': 0.75, 'epoch': 2.0})", {AT: 500, "total_loss": 0.75, "steps_per_second": 0.5, "epoch": 2.0, "extra": {"runtime_s": 8.5}}),
    ("megatron-lm", "progress.txt", "2025-02-24 17:35:03\tJob ID: 7\t# GPUs: 8\tSaved checkpoint\tIteration: 100\tJob throughput: 364.5 TFLOP/s/GPU\tCumulative throughput: 387.5 TFLOP/s/GPU\tFloating-point operations: 6.76e+17\tTokens (in billions): 0.25", {AT: 100, "tflops": 364.5, "tflops_avg": 387.5, "consumed_tokens": 250_000_000}),
]  # fmt: skip
KIN = [
    pytest.param(framework, line, fields, id=f"{framework}: {name}")
    for framework, name, line, fields in [*MEGATRON_KIN, *LONE]
]
ALL = table(
    ("hf-trainer", HF),
    ("axolotl", AXOLOTL),
    ("llama-factory", LLAMA_FACTORY),
    ("pytorch-lightning", LIGHTNING),
    ("nemo", NEMO),
    ("deepspeed", DEEPSPEED),
    ("maxtext", MAXTEXT),
    ("jax-t5x", T5X),
    ("verl", VERL),
    ("openrlhf", OPENRLHF),
    ("torchtune", TORCHTUNE),
    ("composer", COMPOSER),
    ("vllm", VLLM),
)


@pytest.mark.parametrize(("framework", "line", "expected"), [*ALL, *KIN])
def test_fields(framework, line, expected):
    parsed = parse_line(line)
    assert (parsed.kind, told(parsed.fields)) == ("performance", told(expected))
    assert parsed.rule in RULES
    assert not parsed.gap


@pytest.mark.parametrize("line", NOISE)
def test_noise(line):
    parsed = parse_line(line)
    assert (parsed.kind, parsed.fields) == ("none", {})


def test_frameworks():
    wrong = []
    for case in [*ALL, *KIN]:
        framework, line, _ = case.values
        found = parse_line(line).framework
        if found not in {framework, "unknown"}:
            wrong.append((framework, found, line[:60]))
    assert wrong == []


def test_every_rule_has_a_line():
    rules = {parse_line(case.values[1]).rule for case in [*ALL, *KIN]}
    read = {rule for rule in RULES if not rule.startswith("event_")}
    others = {"none", "too_long", "piped_headless", "piped_memory"}  # in test_lines
    assert read - others <= rules

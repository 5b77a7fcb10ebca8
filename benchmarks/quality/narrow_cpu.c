/* Hides AVX-512, VNNI, bf16 and AMX from a process, as if its processor had AVX2 and nothing newer:
 *
 *     cc -shared -fPIC -O2 -o narrow_cpu.so narrow_cpu.c
 *     LD_PRELOAD=$PWD/narrow_cpu.so python ...
 *
 * Libraries ask by the instruction CPUID what there is. Linux lets it fault (arch_prctl(2), ARCH_SET_CPUID; Intel's
 * processors have it, "cpuid_fault" in /proc/cpuinfo), and it is answered here with bits left out. What has asked before
 * a program's libraries are loaded, the C library itself, isn't affected.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { ARCH_SET_CPUID = 0x1012 };

/* Of leaf 7, by Intel's Software Developer's Manual, volume 2, CPUID. */
static const uint32_t EBX_7_0 = 1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31;
static const uint32_t ECX_7_0 = 1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14;
static const uint32_t EDX_7_0 = 1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25;
static const uint32_t EAX_7_1 = 1u << 4 | 1u << 5 | 1u << 21 | 1u << 23;
static const uint32_t EDX_7_1 = 1u << 4 | 1u << 5 | 1u << 10;

static void answer(int number, siginfo_t *info, void *context) {
    (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *instruction = (const uint8_t *)registers[REG_RIP];
    if (instruction[0] != 0x0f || instruction[1] != 0xa2) { /* a fault of the program's own */
        signal(number, SIG_DFL);
        return;
    }
    uint32_t leaf = (uint32_t)registers[REG_RAX], part = (uint32_t)registers[REG_RCX];
    uint32_t a = leaf, b, c = part, d;
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
    if (leaf == 7 && part == 0) {
        b &= ~EBX_7_0;
        c &= ~ECX_7_0;
        d &= ~EDX_7_0;
    }
    if (leaf == 7 && part == 1) {
        a &= ~EAX_7_1;
        d &= ~EDX_7_1;
    }
    registers[REG_RAX] = a;
    registers[REG_RBX] = b;
    registers[REG_RCX] = c;
    registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void narrow(void) {
    struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0) != 0) {
        perror("narrow_cpu: this processor does not let CPUID fault");
        exit(1);
    }
}

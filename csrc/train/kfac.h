/* K-FAC: natural-gradient steps by Kronecker-factored curvature (Martens and Grosse 2015, "Optimizing neural networks with
 * Kronecker-factored approximate curvature", algorithm 2 with the block-diagonal inverse of section 4.2), for chains of dense layers.
 *
 * For a layer with inputs a (a one for the bias appended) and derivatives g by its sums, where the targets are drawn from the
 * model's own distribution, the Fisher matrix is taken as E[a a^T] (x) E[g g^T]. Both factors are averaged over minibatches, damped
 * (section 6.3) and inverted; the gradient between the two inverses is the direction d. How far to go along it, and how far
 * along the last step p, is the minimum over both of the quadratic model with the exact Fisher matrix (section 7), whose
 * products need derivatives along d and p only. So there is no learning rate to find: the schedule's is a factor of the step, 1 for the
 * method as published. The damping lambda rises and falls with how well the model foretold the loss (section 6.5).
 *
 * The loss after the step is looked at every fifth step for that, after each of the first five, whose averages are young, and after
 * each where the link is exponential; a step that has made the objective clearly worse is then shortened, which the paper does not
 * do. */
#ifndef AE_TRAIN_KFAC_H
#define AE_TRAIN_KFAC_H

#include "train/internal.h"

/* After the stages and the memory of rows are planned: AE_ERR_VALUE where the network is not a chain of dense layers with one loss
 * of a kind that has a curvature (AE_LOSS_CANONICAL). */
ae_status train_kfac_new(ae_context *context, ae_trainer *trainer);
void train_kfac_free(ae_kfac *kfac);
/* Forgets factors, last step and damping. */
void train_kfac_reset(ae_kfac *kfac);

/* One step on rows from .. from + rows - 1 of a pass; the lanes hold the losses before it, as after train_run. */
ae_status train_kfac_step(ae_context *context, ae_trainer *trainer, const pass *p, int64_t from, int64_t rows, ae_stop stop,
                          void *stop_argument);

/* What a checkpoint holds. */
char *train_kfac_state(const ae_kfac *kfac, size_t *reals);
void train_kfac_numbers(const ae_kfac *kfac, double *numbers);
bool train_kfac_accepts(const double *numbers);
void train_kfac_take(ae_kfac *kfac, const double *numbers);

#endif
